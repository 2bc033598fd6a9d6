import { isCode } from '../kernel/index.ts'
import type { Keyring } from '../keys/index.ts'
import { open } from '../seal/index.ts'
import type { Sql } from '../store/index.ts'
import { credentialKeys, sealedVersions } from './fsck.store.ts'
import { dataKeyBound, versionBound } from './targets.ts'

type Report = (where: string, what: string) => void

/**
 * Opens every wrapped data key and every ciphertext, which tells whether one was changed, or copied from another row; nothing of what
 * they hold is kept. `remark` is told of key-encryption keys that are not at hand: what they wrap is not tried.
 */
export async function checkSealed(sql: Sql, keyring: Pick<Keyring, 'unwrap'>, report: Report, remark: Report): Promise<void> {
  const missing = new Set<string>()
  for await (const batch of credentialKeys(sql)) {
    const keys = new Map<string, Awaited<ReturnType<Keyring['unwrap']>>>()
    for (const { id, name, kek_id, wrapped_key } of batch) {
      if (missing.has(kek_id)) continue
      try {
        keys.set(id, await keyring.unwrap(sql, kek_id, wrapped_key, dataKeyBound(id)))
      } catch (error) {
        if (isCode(error, 'sealed_damaged'))
          report(`credential ${name}`, 'Its wrapped key does not open: it was changed, or is that of another row.')
        else if (isCode(error, 'kek_unavailable')) missing.add(kek_id)
        else throw error
      }
    }
    for (const { id, number, credential, credential_id, sealed } of await sealedVersions(sql, [...keys.keys()])) {
      const key = keys.get(credential_id)
      if (key === undefined) continue
      try {
        open(key, sealed, versionBound(credential_id, id))
      } catch (error) {
        if (!isCode(error, 'sealed_damaged')) throw error
        report(`version ${number} of ${credential}`, 'Its ciphertext does not open: it was changed, or is that of another row.')
      }
    }
  }
  for (const kek of missing) remark(`kek ${kek}`, 'The key is not at hand, so what it wraps was not opened')
}
