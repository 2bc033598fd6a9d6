import type { PassphraseCost } from '../seal/index.ts'

/** Where a key-encryption key comes from. PKCS#11, cloud KMS and Vault Transit will be further kinds behind the same `KekSource`. */
export type KekKind = 'file' | 'passphrase'

/** What the database knows of a key-encryption key: how to get it and how to tell that it is the right one; never the key. */
export interface Kek {
  readonly id: string
  readonly kind: KekKind
  readonly params: { readonly check: string; readonly cost?: PassphraseCost }
  readonly state: 'active' | 'retiring' | 'retired'
}
