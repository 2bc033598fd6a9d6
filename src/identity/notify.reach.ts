/** Who is asked for an approval and hears nothing of it. */
import { someOf } from '../kernel/index.ts'
import type { Sql } from '../store/index.ts'
import { approversOf } from './approval.store.ts'
import { isMailAddress } from './notify.model.ts'
import * as rows from './notify.store.ts'

/** Names in one sentence. */
const NAMED = 10

/**
 * Who of those that a request asks no notice can reach, in a sentence for whoever asks; null: nobody. A webhook is told of all at once, and
 * by whom it is read Rekey does not know.
 */
export async function unreachedBy(sql: Sql, approval: string): Promise<string | null> {
  const kinds = new Set((await rows.channels(sql)).map(({ kind }) => kind))
  if (kinds.size === 0) return 'Nobody was told: there is no channel for notices (rekey notify channel add). Tell them yourself.'
  if (!kinds.has('smtp')) return null
  const people = [...new Set((await approversOf(sql, approval)).map(({ identity }) => identity))]
  const names = (await rows.mailboxes(sql, people)).flatMap(({ name, email }) => (isReachable(email) ? [] : [name])).sort()
  if (names.length === 0) return null
  return `No mail reaches ${someOf(names, NAMED)}: they have no mail address. Tell them yourself.`
}

const isReachable = (email: string | null) => email !== null && isMailAddress(email)

/** An active person of a team that a rule asks, to whom no mail can be sent. */
export interface Unreachable {
  readonly id: string
  readonly name: string
  readonly since: Date
}

/**
 * A page of people whom rules ask and no mail reaches, and the id of the last that was looked at (null at the end). None where no mail
 * server is set up: nobody waits for mail there.
 */
export async function unreachableApprovers(
  sql: Sql,
  { after, limit }: { readonly after: string | null; readonly limit: number },
): Promise<{ readonly found: Unreachable[]; readonly last: string | null }> {
  if (!(await rows.channels(sql)).some(({ kind }) => kind === 'smtp')) return { found: [], last: null }
  const asked = await rows.peopleAsked(sql, after, limit)
  const emails = new Map(
    (
      await rows.mailboxes(
        sql,
        asked.map(({ id }) => id),
      )
    ).map(({ id, email }) => [id, email]),
  )
  return {
    found: asked.filter(({ id }) => !isReachable(emails.get(id) ?? null)),
    last: asked.length < limit ? null : (asked.at(-1)?.id ?? null),
  }
}
