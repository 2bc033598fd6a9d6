import type { Cli } from '../cli.ts'
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
  return shown(cli, await (await cli.client()).post<Team>('/v1/teams', { name, tenancy }, { startsWork: true }))
}

/** Options of `rekey team change`. */
interface ChangeOptions {
  readonly add?: readonly string[]
  readonly remove?: readonly string[]
  readonly reason?: string
  readonly force?: boolean
}

/** Adds and takes out members, by id or name. */
export async function teamChange(cli: Cli, team: string, { add = [], remove = [], reason, force }: ChangeOptions): Promise<number> {
  const client = await cli.client()
  const idOf = async (name: string) => (await client.get<Identity>(`/v1/identities/${encodeURIComponent(name)}`)).id
  const ids = async (names: readonly string[]) => ({ identities: await Promise.all(names.map(idOf)) })
  const body = { add: await ids(add), remove: await ids(remove), reason, force }
  return shown(cli, await client.post<Team>(`/v1/teams/${encodeURIComponent(team)}/members`, body, { startsWork: true }))
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
