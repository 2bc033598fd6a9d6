/** What a migration could not fold: names and addresses with letters for which PostgreSQL goes by its locale. */
import { addressKey, type Ctx, nameKey, someOf } from '../kernel/index.ts'
import type { Tx } from '../store/index.ts'
import * as rows from './record.fold.store.ts'

const AT_ONCE = 2_000
const NAMES_SHOWN = 20

/**
 * Folds every name and address that is not folded yet; again does nothing. Under the lock of the migrations, at every start. Of identities
 * that were there before and whose names fold alike the first keeps the name to itself, none is changed, and the log of the process says at
 * each start which they are. Throws `unavailable`, `database_failed`.
 */
export async function foldRest(tx: Tx, { log }: Ctx): Promise<void> {
  await inParts(
    () => rows.unfoldedNames(tx, AT_ONCE),
    (found) => rows.foldNames(tx, found.map(withKey(nameKey))),
  )
  await inParts(
    () => rows.unfoldedEmails(tx, AT_ONCE),
    (found) => rows.foldEmails(tx, found.map(withKey(addressKey))),
  )
  await inParts(
    () => rows.unfoldedLabels(tx, AT_ONCE),
    (found) => rows.foldLabels(tx, found.map(withKey(addressKey))),
  )
  const alike = await rows.alikeNames(tx)
  if (alike.length === 0) return
  log.warn({ names: someOf(alike, NAMES_SHOWN) }, 'names of identities differ only in case or form from older ones: rename one of each two')
}

const withKey =
  (fold: (text: string) => string) =>
  ({ id, text }: rows.Unfolded): rows.Folded => ({ id, text, key: fold(text) })

async function inParts(read: () => Promise<rows.Unfolded[]>, write: (found: readonly rows.Unfolded[]) => Promise<void>): Promise<void> {
  for (let found = await read(); found.length > 0; found = await read()) await write(found)
}
