import type { Cli, CommonOptions } from '../cli.ts'
import { EXIT } from '../exit.ts'
import type { Column } from '../output.ts'
import { shortTime, span } from '../text.ts'

interface Session {
  readonly session: string
  readonly name: string
  readonly aal: number
  readonly method: string
  readonly browser: string
  readonly createdAt: string
  readonly seenAt: string
  readonly endsAt: string
  readonly idleSeconds: number
}

interface Passkey {
  readonly passkey: string
  readonly person: string
  readonly name: string
  readonly deviceBound: boolean
  readonly attestation: string
  readonly createdAt: string
  readonly lastUsedAt: string | null
}

interface ListOptions extends CommonOptions {
  readonly identity?: string
}

const SESSIONS: readonly Column<Session>[] = [
  { head: 'SESSION', of: (it) => it.session },
  { head: 'PERSON', of: (it) => it.name },
  { head: 'LEVEL', of: (it) => `AAL${it.aal}` },
  { head: 'BY', of: (it) => it.method },
  { head: 'SINCE', of: (it) => shortTime(it.createdAt) },
  { head: 'LAST USED', of: (it) => shortTime(it.seenAt) },
  { head: 'ENDS', of: (it) => `${shortTime(it.endsAt)}, or ${span(it.idleSeconds * 1000)} at rest` },
]

const PASSKEYS: readonly Column<Passkey>[] = [
  { head: 'PASSKEY', of: (it) => it.passkey },
  { head: 'PERSON', of: (it) => it.person },
  { head: 'NAME', of: (it) => it.name },
  { head: 'PROVES', of: (it) => (it.deviceBound ? 'AAL3' : 'AAL2 (may be synced)') },
  { head: 'ATTESTATION', of: (it) => it.attestation },
  { head: 'SINCE', of: (it) => shortTime(it.createdAt) },
  { head: 'LAST USED', of: (it) => shortTime(it.lastUsedAt) },
]

/** Lists open sessions. */
export async function sessionList(cli: Cli, options: ListOptions): Promise<number> {
  cli.out.list(await listed<Session>(cli, '/v1/sessions', options), SESSIONS, 'Nobody is logged in.')
  return EXIT.ok
}

/** Ends a session. */
export async function sessionEnd(cli: Cli, session: string): Promise<number> {
  const done = await (await cli.client()).post<{ session: string }>(`/v1/sessions/${encodeURIComponent(session)}/end`, undefined, {
    startsWork: true,
  })
  cli.out.fields(done, [['ended', done.session]])
  return EXIT.ok
}

/** Lists passkeys. */
export async function passkeyList(cli: Cli, options: ListOptions): Promise<number> {
  cli.out.list(await listed<Passkey>(cli, '/v1/passkeys', options), PASSKEYS, 'There are no passkeys.')
  return EXIT.ok
}

/** Removes a passkey. */
export async function passkeyRemove(cli: Cli, passkey: string, { reason }: CommonOptions & { readonly reason: string }): Promise<number> {
  const path = `/v1/passkeys/${encodeURIComponent(passkey)}/remove`
  const done = await (await cli.client()).post<{ passkey: string }>(path, { reason }, { startsWork: true })
  cli.out.fields(done, [['removed', done.passkey]])
  return EXIT.ok
}

/** A person is named as people are; the lists take ids. */
async function listed<T>(cli: Cli, path: string, { identity }: ListOptions): Promise<T[]> {
  const client = await cli.client()
  if (identity === undefined) return client.all<T>(path)
  const { id } = await client.get<{ id: string }>(`/v1/identities/${encodeURIComponent(identity)}`)
  return client.all<T>(path, { identity: id })
}
