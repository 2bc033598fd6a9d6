import { z } from 'zod'
import type { SessionView } from '../../../identity/index.ts'
import type { LoggedIn } from '../../../identity/login/index.ts'

const Time = z.iso.datetime()
const Level = z.int().min(0).max(3)

/** What a login answers: who it is now, never what the cookie holds. */
export const Started = z
  .object({
    session: z.string(),
    identity: z.string(),
    name: z.string(),
    aal: Level,
    authenticatedAt: Time,
    endsAt: Time.describe('At the latest; sooner without requests.'),
  })
  .meta({ id: 'StartedSession' })

export function startedView({ session }: Pick<LoggedIn, 'session'>): z.output<typeof Started> {
  const { id, identity, name, aal, authenticatedAt, endsAt } = session
  return { session: id, identity, name, aal, authenticatedAt: authenticatedAt.toISOString(), endsAt: endsAt.toISOString() }
}

export const Session = z
  .object({
    session: z.string(),
    identity: z.string(),
    name: z.string(),
    aal: Level,
    method: z.enum(['oidc', 'passkey']),
    browser: z.string().describe('What the browser said that it is.'),
    createdAt: Time,
    authenticatedAt: Time,
    seenAt: Time.describe('To 20 seconds.'),
    endsAt: Time.describe('At the latest.'),
    idleSeconds: z.int().describe('It ends after so long without a request.'),
    current: z.boolean().describe('The one that asks.'),
  })
  .meta({ id: 'Session' })

export function sessionView(it: SessionView, current: string | null): z.output<typeof Session> {
  const { id, createdAt, authenticatedAt, seenAt, endsAt, ...rest } = it
  return {
    session: id,
    ...rest,
    createdAt: createdAt.toISOString(),
    authenticatedAt: authenticatedAt.toISOString(),
    seenAt: seenAt.toISOString(),
    endsAt: endsAt.toISOString(),
    current: id === current,
  }
}
