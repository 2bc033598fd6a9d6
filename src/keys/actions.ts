import { append } from '../evidence/index.ts'
import type { Ctx, Secret } from '../kernel/index.ts'
import { newKey } from '../seal/index.ts'
import type { Store, Tx } from '../store/index.ts'
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
    await keyring.refresh(tx)
    const made = keyring.wrap(newKey(), bound)
    await rows.addInstallationKey(tx, name, made.kekId, made.wrapped)
    return made.key
  })
}

const rewrapInstallation: Rewrap = async (tx, kekId, _limit, again) => {
  const found = await rows.installationKeysUnder(tx, kekId)
  for (const { name, wrapped } of found) {
    const made = await again(wrapped, installationBound(name))
    await rows.rewrapInstallationKey(tx, name, made.kekId, made.wrapped)
  }
  return found.length
}

/**
 * Makes a new key-encryption key and wraps every data key again with it, online, in small transactions. A crash leaves the old key
 * `retiring` with what is still wrapped by it; calling again with `fresh: false` finishes that. The old key is destroyed last.
 * Resolves with how many data keys were wrapped again.
 */
export async function rotateKek(
  parts: { readonly store: Store; readonly keyring: Keyring; readonly areas: readonly Rewrap[] },
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
  }
  await keyring.refresh(store)
  let done = 0
  for (const kek of await rows.retiring(store)) {
    for (const area of [rewrapInstallation, ...parts.areas]) {
      for (;;) {
        const count = await store.inTx((tx) => area(tx, kek.id, BATCH, (wrapped, bound) => rewrapped(tx, keyring, kek, wrapped, bound)))
        done += count
        options.onProgress?.(done)
        if (count < BATCH) break
      }
    }
    await finish(parts, ctx, kek, done)
  }
  return done
}

async function rewrapped(tx: Tx, keyring: Keyring, kek: Kek, wrapped: Uint8Array, bound: string): Promise<DataKey> {
  return keyring.wrap(await keyring.unwrap(tx, kek.id, wrapped, bound), bound)
}

/** Only when nothing is wrapped by it any more; rows written meanwhile by a process that had not noticed are caught by the foreign key. */
async function finish(
  parts: { readonly store: Store; readonly keyring: Keyring },
  ctx: Ctx,
  kek: Kek,
  rewrappedKeys: number,
): Promise<void> {
  const retired = await parts.store.inTx(async (tx) => {
    if (!(await rows.markRetired(tx, kek.id))) return false
    await append(tx, ctx, [
      { log: 'credential', type: 'kek.rotated', subject: kek.id, data: { rewrappedKeys, to: parts.keyring.activeId } },
    ])
    return true
  })
  if (retired) await parts.keyring.destroy(kek)
}
