import { chmodSync, existsSync, readFileSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { makeFolder, RekeyError, Secret, writeDurably } from '../kernel/index.ts'
import { fingerprint, keyFromPassphrase, newKey, newPassphraseCost } from '../seal/index.ts'
import type { Kek, KekKind } from './model.ts'

/** Where key-encryption keys come from. An HSM or a cloud KMS will wrap and unwrap by itself; these two hand out the key. */
export interface KekSource {
  readonly kind: KekKind
  /** Makes a new key under `id` and keeps it where only this installation finds it, before anything is wrapped with it. */
  create(id: string): Promise<{ readonly key: Secret; readonly params: Kek['params'] }>
  /** The key of a known row. Throws `kek_unavailable` if it is missing, readable by others, or not the right one. */
  load(kek: Kek): Promise<Secret>
  /** Destroys a key that wraps nothing any more. */
  destroy(kek: Kek): Promise<void>
}

/** A value that only the right key gives, so that a wrong one is refused before anything is opened with it. */
function checkOf(key: Secret, id: string): string {
  return fingerprint(key, Secret.fromText(`kek check ${id}`))
}

function proven(key: Secret, kek: Kek, hint: string): Secret {
  if (checkOf(key, kek.id) === kek.params.check) return key
  throw new RekeyError('kek_unavailable', `This is not the key-encryption key ${kek.id}.`, { hint })
}

/** Keys as 0600 files `<folder>/<id>.key`, 64 hexadecimal digits. */
export function fileKeks(folder: string): KekSource {
  const pathOf = (id: string) => join(folder, `${id}.key`)
  return {
    kind: 'file',
    async create(id) {
      makeFolder(folder)
      chmodSync(folder, 0o700)
      const key = newKey()
      key.reveal((bytes) => writeDurably(pathOf(id), Buffer.from(bytes).toString('hex'), 'keep'))
      return { key, params: { check: checkOf(key, id) } }
    },
    async load(kek) {
      return proven(readKey(pathOf(kek.id)), kek, `Put back the file ${pathOf(kek.id)} from your backup.`)
    },
    async destroy(kek) {
      rmSync(pathOf(kek.id), { force: true })
      // A crash while it was made may have left it under this name too.
      rmSync(`${pathOf(kek.id)}.new`, { force: true })
    },
  }
}

function readKey(path: string): Secret {
  if (!existsSync(path))
    throw new RekeyError('kek_unavailable', `The key file is missing: ${path}`, { hint: 'Put it back from your backup.' })
  if ((statSync(path).mode & 0o077) !== 0) {
    throw new RekeyError('kek_unavailable', `The key file can be read by others: ${path}`, {
      hint: `Run chmod 600 ${path}, and think about who read it.`,
    })
  }
  const text = readFileSync(path, 'utf8').trim()
  if (!/^[0-9a-f]{64}$/.test(text)) throw new RekeyError('kek_unavailable', `The key file is damaged: ${path}`)
  return new Secret(Buffer.from(text, 'hex'))
}

/**
 * Keys derived by argon2id. `read` gives the passphrases, newest first: new keys use the first, older keys may still need an
 * older one. So a passphrase is changed by putting the new one on the first line and running `rekey kek rotate`.
 */
export function passphraseKeks(read: () => readonly Secret[]): KekSource {
  return {
    kind: 'passphrase',
    async create(id) {
      const [newest] = read()
      if (newest === undefined) throw new RekeyError('kek_unavailable', 'The passphrase file is empty.')
      const cost = newPassphraseCost()
      const key = await keyFromPassphrase(newest, cost)
      return { key, params: { check: checkOf(key, id), cost } }
    },
    async load(kek) {
      const { cost } = kek.params
      if (cost === undefined) throw new RekeyError('kek_unavailable', `The key-encryption key ${kek.id} does not come from a passphrase.`)
      for (const passphrase of read()) {
        const key = await keyFromPassphrase(passphrase, cost)
        if (checkOf(key, kek.id) === kek.params.check) return key
      }
      throw new RekeyError('kek_unavailable', 'The passphrase is not the right one.', {
        hint: 'Check the file that REKEY_PASSPHRASE_FILE names.',
      })
    },
    async destroy() {},
  }
}
