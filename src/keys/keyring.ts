import { append } from '../evidence/index.ts'
import { makeCtx, newId, RekeyError, Secret } from '../kernel/index.ts'
import { fingerprint, newKey, open, seal } from '../seal/index.ts'
import type { Sql, Store, Tx } from '../store/index.ts'
import type { Kek, KekKind } from './model.ts'
import type { KekSource } from './source.ts'
import * as rows from './store.ts'

/** A data key, usable and wrapped. `wrapped` and `kekId` are what a row keeps. */
export interface DataKey {
  readonly key: Secret
  readonly wrapped: Uint8Array
  readonly kekId: string
}

/** Wraps and unwraps data keys with the installation's key-encryption keys. */
export class Keyring {
  readonly #sources: ReadonlyMap<KekKind, KekSource>
  readonly #make: KekSource
  readonly #known = new Map<string, Secret>()
  /** Keys that this keyring made and that are not settled. */
  readonly #made = new Set<string>()
  #active = ''

  /** `sources[0]` makes new keys; the others may still open what they wrapped. */
  constructor(sources: readonly [KekSource, ...KekSource[]]) {
    this.#make = sources[0]
    this.#sources = new Map(sources.map((source) => [source.kind, source]))
  }

  /** Loads the active key, or makes the first. Throws `kek_unavailable`: without its keys Rekey does not start. */
  async start(store: Store): Promise<void> {
    const active = (await rows.active(store)) ?? (await this.#first(store))
    await this.settle(store)
    await this.#load(active)
    this.#active = active.id
  }

  /**
   * Tells the source what became of keys that were made: called when the transaction that made one has ended, however it did, and at each
   * start, for a process that died in between. Under the lock, so that nobody is about to commit the row of one that has none yet.
   */
  async settle(store: Store): Promise<void> {
    const sources = [...this.#sources.values()]
    if (this.#made.size === 0 && sources.every((source) => source.unsettled().length === 0)) return
    await store.inTx(async (tx) => {
      await rows.lockKeks(tx)
      const known = new Set((await rows.list(tx)).map(({ id }) => id))
      for (const id of this.#made) this.#make.settle(id, known.has(id), this.#known.get(id))
      // Looked for once more: what a living process had made before the lock was free has its row by now.
      for (const source of sources) for (const id of source.unsettled()) source.settle(id, known.has(id))
    })
    this.#made.clear()
  }

  /**
   * Under a lock, so that two processes that start together make one key. The first of an installation has no event; one that is made
   * because none is active any more has: somebody changed the table, and the log must tell of the new key.
   */
  #first(store: Store): Promise<Kek> {
    return store.inTx(async (tx) => {
      await rows.lockKeks(tx)
      const active = await rows.active(tx)
      if (active !== null) return active
      const others = (await rows.list(tx)).length > 0
      const kek = await this.add(tx)
      const event = { log: 'credential' as const, type: 'kek.created', subject: kek.id, data: { kind: kek.kind } }
      if (others) await append(tx, makeCtx('server', newId()), [event])
      return kek
    })
  }

  /** Makes a new active key in `tx`; the one before becomes `retiring`. `settle` is called when `tx` has ended. */
  async add(tx: Tx): Promise<Kek> {
    const id = newId()
    const { key, params } = await this.#make.create(id)
    this.#made.add(id)
    const kek: Kek = { id, kind: this.#make.kind, params, state: 'active' }
    await rows.retireActive(tx)
    await rows.insert(tx, kek)
    this.#known.set(id, key)
    return kek
  }

  /** The key that was active when this keyring last looked. */
  get activeId(): string {
    return this.#active
  }

  /**
   * The active key, usable, and held active to the end of the transaction: whoever makes another one waits. What wraps must be wrapped
   * by the key that its own transaction pinned; then nothing new hangs on a key that is going. Throws `unavailable` if the active key
   * changes faster than it can be read, `kek_unavailable`.
   */
  async pin(tx: Tx): Promise<string> {
    for (let round = 0; round < 5; round++) {
      const kek = await rows.activeForShare(tx)
      if (kek === null) continue
      if (!this.#known.has(kek.id)) await this.#load(kek)
      this.#active = kek.id
      return kek.id
    }
    throw new RekeyError('unavailable', 'The key-encryption key is being changed.', { hint: 'Try again in a moment.' })
  }

  async #load(kek: Kek): Promise<Secret> {
    const source = this.#sources.get(kek.kind)
    if (source === undefined) {
      throw new RekeyError('kek_unavailable', `The key-encryption key is of kind "${kek.kind}", which is not set up.`, {
        hint: kek.kind === 'passphrase' ? 'Set REKEY_PASSPHRASE_FILE.' : 'Start with the data folder that holds its file.',
      })
    }
    const key = await source.load(kek)
    this.#known.set(kek.id, key)
    return key
  }

  async #keyOf(sql: Sql, id: string): Promise<Secret> {
    const known = this.#known.get(id)
    if (known !== undefined) return known
    const kek = await rows.find(sql, id)
    if (kek === null) throw new RekeyError('kek_unavailable', `The key-encryption key ${id} is not known.`)
    return this.#load(kek)
  }

  /** A new data key, wrapped by the pinned key `kekId` and bound to `bound` (which row it belongs to). */
  newDataKey(kekId: string, bound: string): DataKey {
    return this.wrap(kekId, newKey(), bound)
  }

  /** Wraps a data key with the pinned key `kekId`. */
  wrap(kekId: string, key: Secret, bound: string): DataKey {
    const kek = this.#known.get(kekId)
    if (kek === undefined) throw new RekeyError('internal', `The key-encryption key ${kekId} was not pinned.`)
    return { key, wrapped: seal(kek, key, `${bound}|${kekId}`), kekId }
  }

  /** Opens a wrapped data key. Throws `kek_unavailable` or `sealed_damaged`. */
  async unwrap(sql: Sql, kekId: string, wrapped: Uint8Array, bound: string): Promise<Secret> {
    return open(await this.#keyOf(sql, kekId), wrapped, `${bound}|${kekId}`)
  }

  /**
   * Forgets and destroys every retired key that wraps nothing any more; those of a process that died before it could, too. That it wraps
   * nothing is looked up in every table that refers to keys, with its row locked, so that none can come to refer to it meanwhile: the
   * column may have been changed by hand, and what goes here cannot be brought back. A key that still wraps something is `retiring` again;
   * `rotateKek` empties it. Resolves with the ids of those that are still there because they could not be destroyed.
   */
  async destroyRetired(store: Store): Promise<string[]> {
    const left: string[] = []
    for (const kek of await rows.inState(store, 'retired')) {
      await store.inTx(async (tx) => {
        if (!(await rows.lockRetired(tx, kek.id))) return
        if ((await rows.wrappedBy(tx, kek.id)).length > 0) return rows.notRetired(tx, kek.id)
        this.#known.delete(kek.id)
        try {
          await this.#sources.get(kek.kind)?.destroy(kek)
        } catch {
          left.push(kek.id)
        }
      })
    }
    return left
  }
}

/** The key under which fingerprints are made: derived once from a stored data key, the same for the whole installation. */
export function fingerprintKey(base: Secret): Secret {
  return Secret.fromText(fingerprint(base, Secret.fromText('fingerprint key v1')))
}
