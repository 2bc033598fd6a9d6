import { chmodSync, existsSync, readdirSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { makeFolder, RekeyError, Secret, syncFolder, writeDurably } from '../kernel/index.ts'
import { fingerprint, keyFromPassphrase, newKey, newPassphraseCost } from '../seal/index.ts'
import type { Kek, KekKind } from './model.ts'

/** Where key-encryption keys come from. An HSM or a cloud KMS will wrap and unwrap by itself; these two hand out the key. */
export interface KekSource {
  readonly kind: KekKind
  /** Makes a new key under `id` and keeps it where only this installation finds it, before anything is wrapped with it. */
  create(id: string): Promise<{ readonly key: Secret; readonly params: Kek['params'] }>
  /** Ids of keys that `create` made, or was about to make, and that `settle` was not called for: a process may have died in between. */
  unsettled(): readonly string[]
  /**
   * Says what became of the row of a key that was made: it is committed, and the key lasts; or there is none and never will be, so nothing
   * was wrapped with the key and it is removed. `key`: where this process made it. Safe to call twice.
   */
  settle(id: string, isCommitted: boolean, key?: Secret): void
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

const PENDING = '.key.pending'

/**
 * Keys as 0600 files `<folder>/<id>.key`, 64 hexadecimal digits. Until its row is committed the file is `<id>.key.pending`: one that no row
 * tells of can be removed only if it is known that none ever did, since the database may be an older one that was restored, or another.
 */
export function fileKeks(folder: string): KekSource {
  const pathOf = (id: string) => join(folder, `${id}.key`)
  const pendingOf = (id: string) => join(folder, `${id}${PENDING}`)
  const write = (path: string, key: Secret) => key.reveal((bytes) => writeDurably(path, Buffer.from(bytes).toString('hex'), 'keep'))
  return {
    kind: 'file',
    async create(id) {
      makeFolder(folder)
      chmodSync(folder, 0o700)
      const key = newKey()
      write(pendingOf(id), key)
      return { key, params: { check: checkOf(key, id) } }
    },
    unsettled() {
      const names = existsSync(folder) ? readdirSync(folder) : []
      const pending = names.filter((name) => name.endsWith(PENDING) || name.endsWith(`${PENDING}.new`))
      return [...new Set(pending.map((name) => name.slice(0, name.indexOf(PENDING))))]
    },
    settle(id, isCommitted, key) {
      // What a crash in the middle of writing left.
      rmSync(`${pendingOf(id)}.new`, { force: true })
      if (!isCommitted) rmSync(pendingOf(id), { force: true })
      else if (existsSync(pendingOf(id))) renameSync(pendingOf(id), pathOf(id))
      // A process with another database on the same folder knows nothing of this row, and has removed the file.
      else if (key !== undefined && !existsSync(pathOf(id))) write(pathOf(id), key)
      else return
      syncFolder(folder)
    },
    async load(kek) {
      const path = pathOf(kek.id)
      // Another process may give it its lasting name at this moment.
      const key = readKey(path) ?? readKey(pendingOf(kek.id)) ?? readKey(path)
      if (key !== null) return proven(key, kek, `Put back the file ${path} from your backup.`)
      throw new RekeyError('kek_unavailable', `The key file is missing: ${path}`, { hint: 'Put it back from your backup.' })
    },
    async destroy(kek) {
      rmSync(pathOf(kek.id), { force: true })
      // A crash while it was made may have left it under these names too.
      for (const path of [`${pathOf(kek.id)}.new`, pendingOf(kek.id), `${pendingOf(kek.id)}.new`]) rmSync(path, { force: true })
    },
  }
}

/** Null if there is no such file. Throws `kek_unavailable` for one that others can read, or that is no key. */
function readKey(path: string): Secret | null {
  const [mode, text] = contentOf(path) ?? []
  if (mode === undefined || text === undefined) return null
  if ((mode & 0o077) !== 0) {
    throw new RekeyError('kek_unavailable', `The key file can be read by others: ${path}`, {
      hint: `Run chmod 600 ${path}, and think about who read it.`,
    })
  }
  if (!/^[0-9a-f]{64}$/.test(text)) throw new RekeyError('kek_unavailable', `The key file is damaged: ${path}`)
  return new Secret(Buffer.from(text, 'hex'))
}

function contentOf(path: string): readonly [mode: number, text: string] | null {
  try {
    return [statSync(path).mode, readFileSync(path, 'utf8').trim()]
  } catch (error) {
    if ((error as { code?: string }).code === 'ENOENT') return null
    throw error
  }
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
    unsettled: () => [],
    settle: () => undefined,
    async destroy() {},
  }
}
