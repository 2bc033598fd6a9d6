/** Passkeys that were enrolled in logins by a link: whoever was linked wrongly holds them, and would come in by them afterwards. */
import { append } from '../../evidence/index.ts'
import { type Ctx, RekeyError, someOf } from '../../kernel/index.ts'
import type { Sql, Tx } from '../../store/index.ts'
import { endSessionsBy } from '../session.ts'
import * as rows from './passkey.store.ts'
import { forgetTries } from './throttle.ts'

const NAMED = 5

/** What becomes of the passkeys that were enrolled in logins by a link which is taken back. */
export type PasskeysOfLink = 'remove' | 'keep'

/** Whose link it is, by which source, and what was said of its passkeys and why. */
export interface LinkTaken {
  readonly person: { readonly id: string; readonly name: string }
  readonly source: string
  readonly passkeys: PasskeysOfLink | undefined
  readonly reason: string
}

/**
 * Throws `wrong_state`, naming them, where passkeys came by this link and nothing was said of them: to end them may keep out the rightful
 * person, to leave them may leave in whoever was linked wrongly, and neither is to happen without a word.
 */
export async function requireSaid(sql: Sql, { person, source, passkeys }: Omit<LinkTaken, 'reason'>): Promise<void> {
  const found = passkeys === undefined ? await rows.passkeysCameBy(sql, person.id, source) : []
  if (found.length === 0) return
  const names = someOf(
    found.map(({ id, name }) => `${JSON.stringify(name)} (${id})`),
    NAMED,
  )
  throw new RekeyError('wrong_state', `In logins by this link passkeys were enrolled: ${names}. Whoever was linked may hold them.`, {
    hint: 'Repeat it with --remove-passkeys, or with --keep-passkeys where the person has them in hand ("passkeys": "remove" or "keep").',
  })
}

/**
 * Removes them, with the sessions that began by them (`passkey.removed`), or leaves them as the person's own (`passkey.kept`), in the
 * transaction that takes the link back, with the person's row locked. Throws as `requireSaid`.
 */
export async function settlePasskeys(tx: Tx, ctx: Ctx, taken: LinkTaken): Promise<{ readonly removed: number; readonly sessions: number }> {
  await requireSaid(tx, taken)
  const { person, source, passkeys, reason } = taken
  let [removed, sessions] = [0, 0]
  for (const { id, name } of await rows.passkeysCameBy(tx, person.id, source)) {
    const event = { log: 'identity', subject: person.name, links: { identity: person.id, passkey: id } } as const
    if (passkeys === 'keep') {
      await rows.ownPasskey(tx, id)
      await append(tx, ctx, [{ ...event, type: 'passkey.kept', data: { passkey: name, cameBy: source, reason } }])
      continue
    }
    const ended = await endSessionsBy(tx, ctx, 'passkey_id', id, 'passkey removed')
    await rows.deletePasskey(tx, id)
    await forgetTries(tx, id)
    await append(tx, ctx, [{ ...event, type: 'passkey.removed', data: { passkey: name, sessions: ended, cameBy: source, reason } }])
    removed += 1
    sessions += ended
  }
  return { removed, sessions }
}
