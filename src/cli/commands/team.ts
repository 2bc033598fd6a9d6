import { counted, printable } from '../../kernel/index.ts'
import type { Cli } from '../cli.ts'
import { type Client, ifAllowed } from '../client.ts'
import { EXIT } from '../exit.ts'
import { type Column, tableLines } from '../output.ts'
import type { Identity } from './identity-list.ts'

interface Team {
  readonly id: string
  readonly name: string
  readonly tenancy: string
  readonly source: string
  readonly externalId: string | null
}

interface TeamFull extends Team {
  readonly people: number
  readonly owns: number
  readonly nested: readonly { readonly name: string }[]
  readonly parents: readonly { readonly name: string }[]
}

const TEAMS: Column<Team>[] = [
  { head: 'TEAM', of: (it) => it.name },
  { head: 'TENANCY', of: (it) => it.tenancy },
  { head: 'SOURCE', of: (it) => it.source },
  { head: 'ID', of: (it) => it.id },
]

const MEMBERS: Column<Identity>[] = [
  { head: 'MEMBER', of: (it) => it.name },
  { head: 'KIND', of: (it) => it.kind },
  { head: 'STATUS', of: (it) => it.status },
]

/** Lists the teams. */
export async function teamList(cli: Cli, { name, source }: { readonly name?: string; readonly source?: string }): Promise<number> {
  cli.out.list(await (await cli.client()).all<Team>('/v1/teams', { name, source }), TEAMS, 'There are no such teams.')
  return EXIT.ok
}

/** Shows one team with its members, those of nested teams included. */
export async function teamShow(cli: Cli, idOrName: string): Promise<number> {
  const client = await cli.client()
  const team = await client.get<TeamFull>(`/v1/teams/${encodeURIComponent(idOrName)}`)
  const members = await client.all<Identity>('/v1/identities', { team: team.id })
  const names = (list: TeamFull['nested']) => list.map(({ name }) => name).join(', ')
  cli.out.fields({ team, members }, [
    ['team', team.name],
    ['id', team.id],
    ['tenancy', team.tenancy],
    ['source', team.source],
    ['known as', team.externalId],
    ['active people', team.people],
    ['answers for', `${team.owns} identities`],
    ['nested in it', names(team.nested)],
    ['nested in', names(team.parents)],
  ])
  if (cli.out.json || members.length === 0) return EXIT.ok
  for (const line of ['', ...tableLines(members, MEMBERS, cli.out.colors('stdout'))]) cli.out.line(line)
  return EXIT.ok
}

/** Makes a team. */
export async function teamCreate(cli: Cli, name: string, { tenancy }: { readonly tenancy?: string }): Promise<number> {
  const client = await cli.client()
  const team = await client.post<Team>('/v1/teams', { name, tenancy }, { startsWork: true })
  const same = ((await ifAllowed(client.all<Team>('/v1/teams', { name }))) ?? []).filter(({ id }) => id !== team.id)
  if (same.length > 0) cli.out.note(`Others are called ${name} too: ${same.map(({ id }) => id).join(', ')}. Name them by their ids.`)
  return shown(cli, team)
}

/** Gives a team another name. */
export async function teamRename(cli: Cli, team: string, name: string): Promise<number> {
  const client = await cli.client()
  return shown(cli, await client.post<Team>(`/v1/teams/${encodeURIComponent(team)}/rename`, { name }, { startsWork: false }))
}

/** Removes a team that nothing depends on; the refusal says what does. */
export async function teamRemove(cli: Cli, team: string, { reason }: { readonly reason: string }): Promise<number> {
  const client = await cli.client()
  const gone = await client.post<Team>(`/v1/teams/${encodeURIComponent(team)}/remove`, { reason }, { startsWork: false })
  if (cli.out.json) cli.out.object(gone)
  else cli.out.note(`${printable(gone.name)} is removed.`)
  return EXIT.ok
}

/** Options of `rekey team change`. */
interface ChangeOptions {
  readonly add?: readonly string[]
  readonly remove?: readonly string[]
  readonly reason?: string
  readonly force?: boolean
}

/** Adds and takes out members, people and `team:` teams, by id or name. Says so where nobody is left who answers for what the team owns. */
export async function teamChange(cli: Cli, team: string, { add = [], remove = [], reason, force }: ChangeOptions): Promise<number> {
  const client = await cli.client()
  const body = { add: await membersOf(client, add), remove: await membersOf(client, remove), reason, force }
  const path = `/v1/teams/${encodeURIComponent(team)}`
  const before = remove.length === 0 ? null : await ifAllowed(client.get<TeamFull>(path))
  const changed = await client.post<Team>(`${path}/members`, body, { startsWork: true })
  if (remove.length > 0) {
    const left = await ifAllowed(client.get<TeamFull>(`/v1/teams/${changed.id}`))
    if (left?.people === 0) {
      const gone = (before?.owns ?? 0) - left.owns
      const handed = `it answered for ${counted(gone, 'identity', 'identities')}, handed over now: rekey findings --kind handover`
      const what =
        gone > 0 ? handed : left.owns === 0 ? 'it owns nothing' : `it is to answer for ${counted(left.owns, 'identity', 'identities')}`
      cli.out.note(`Nobody is left in ${changed.name}, and ${what}. Add somebody: rekey team change ${changed.name} --add NAME`)
    }
  }
  return shown(cli, changed)
}

async function membersOf(client: Client, names: readonly string[]): Promise<{ identities: string[]; teams: string[] }> {
  const teamNames = names.filter((name) => name.startsWith('team:')).map((name) => name.slice('team:'.length))
  const people = names.filter((name) => !name.startsWith('team:'))
  const idOf = async (path: string, name: string) => (await client.get<{ id: string }>(`${path}/${encodeURIComponent(name)}`)).id
  return {
    identities: await Promise.all(people.map((name) => idOf('/v1/identities', name))),
    teams: await Promise.all(teamNames.map((name) => idOf('/v1/teams', name))),
  }
}

function shown(cli: Cli, team: Team): number {
  cli.out.fields(team, [
    ['team', team.name],
    ['id', team.id],
    ['tenancy', team.tenancy],
    ['source', team.source],
  ])
  return EXIT.ok
}
