import { append } from '../evidence/index.ts'
import { type Ctx, RekeyError, type Secret } from '../kernel/index.ts'
import type { Sql, Store, Tx } from '../store/index.ts'
import type { DataKey, Keyring } from './keyring.ts'
import type { Kek } from './model.ts'
import * as rows from './store.ts'

/** Rows at a time; each batch is one short transaction, so that rotations go on meanwhile. */
const BATCH = 200

/** How another area re-wraps its own rows: takes up to `limit` that `kekId` wraps, writes them back, resolves with how many. */
export type Rewrap = (
  tx: Tx,
  kekId: string,
  limit: number,
  again: (wrapped: Uint8Array, bound: string) => Promise<DataKey>,
) => Promise<number>

function installationBound(name: string): string {
  return `installation ${name}`
}

/** A key of the installation itself by name, made at first use. */
export async function installationSecret(store: Store, keyring: Keyring, name: string): Promise<Secret> {
  const bound = installationBound(name)
  return store.inTx(async (tx) => {
    await rows.lockKeks(tx)
    const row = await rows.installationKey(tx, name)
    if (row !== null) return keyring.unwrap(tx, row.kek_id, row.wrapped, bound)
    const made = keyring.newDataKey(await keyring.pin(tx), bound)
    await rows.addInstallationKey(tx, name, made.kekId, made.wrapped)
    return made.key
  })
}

/** A key of the installation itself by name, or null; none is made. Throws `kek_unavailable`, `sealed_damaged`. */
export async function findInstallationSecret(sql: Sql, keyring: Keyring, name: string): Promise<Secret | null> {
  const row = await rows.installationKey(sql, name)
  return row && keyring.unwrap(sql, row.kek_id, row.wrapped, installationBound(name))
}

const rewrapInstallation: Rewrap = async (tx, kekId, _limit, again) => {
  const found = await rows.installationKeysUnder(tx, kekId)
  for (const { name, wrapped } of found) {
    const made = await again(wrapped, installationBound(name))
    await rows.rewrapInstallationKey(tx, name, made.kekId, made.wrapped)
  }
  return found.length
}

interface RotateParts {
  readonly store: Store
  readonly keyring: Keyring
  readonly areas: readonly Rewrap[]
}

/**
 * Makes a new key-encryption key and wraps every data key again with it, online, in small transactions. A crash leaves the old key
 * `retiring` with what is still wrapped by it; calling again with `fresh: false` finishes that. The old key is destroyed last; a crash
 * before that leaves it `retired`, and the next call or start destroys it. Resolves with how many data keys were wrapped again. Throws
 * `kek_unavailable` if a key is missing, or one that wraps nothing any more could not be destroyed.
 *
 * Any number may run at once, while data keys are made and rotations go on. Each transaction wraps with the key that it pinned
 * (`Keyring.pin`), so once a key is `retiring` nothing new is wrapped by it, and no rotation hands rows to a key that another one has
 * emptied. Of two that want the same row, `for update` makes one wait, and it then finds the row under another key.
 */
export async function rotateKek(
  parts: RotateParts,
  ctx: Ctx,
  options: { readonly fresh: boolean; readonly onProgress?: (done: number) => void },
): Promise<number> {
  const { store, keyring } = parts
  if (options.fresh) {
    await store.inTx(async (tx) => {
      await rows.lockKeks(tx)
      const kek = await keyring.add(tx)
      await append(tx, ctx, [{ log: 'credential', type: 'kek.created', subject: kek.id, data: { kind: kek.kind } }])
    })
    await keyring.settle(store)
  }
  let done = 0
  for (const kek of await rows.inState(store, 'retiring')) {
    do {
      for (const area of areasOf(parts)) {
        for (;;) {
          const count = await store.inTx((tx) => rewrapSome(tx, keyring, kek, area))
          done += count
          options.onProgress?.(done)
          if (count < BATCH) break
        }
      }
    } while (!(await retire(parts, ctx, kek, done)))
  }
  const left = await keyring.destroyRetired(store)
  if (left.length === 0) return done
  throw new RekeyError('kek_unavailable', `Wraps nothing any more and cannot be destroyed: ${left.join(', ')}.`, {
    hint: 'Destroy the key by hand, and give Rekey the right to do so.',
  })
}

function areasOf({ areas }: RotateParts): readonly Rewrap[] {
  return [rewrapInstallation, ...areas]
}

async function rewrapSome(tx: Tx, keyring: Keyring, kek: Kek, area: Rewrap): Promise<number> {
  const active = await keyring.pin(tx)
  return area(tx, kek.id, BATCH, async (wrapped, bound) => keyring.wrap(active, await keyring.unwrap(tx, kek.id, wrapped, bound), bound))
}

/**
 * Records that a key wraps nothing any more. Looks once more first, since what it is the end of cannot be brought back: false if
 * something was found, and wrapped again.
 */
async function retire(parts: RotateParts, ctx: Ctx, kek: Kek, rewrappedKeys: number): Promise<boolean> {
  const { store, keyring } = parts
  return store.inTx(async (tx) => {
    for (const area of areasOf(parts)) if ((await rewrapSome(tx, keyring, kek, area)) > 0) return false
    // Another process may have done it.
    if (!(await rows.markRetired(tx, kek.id))) return true
    const data = { rewrappedKeys, to: await keyring.pin(tx) }
    await append(tx, ctx, [{ log: 'credential', type: 'kek.rotated', subject: kek.id, data }])
    return true
  })
}
