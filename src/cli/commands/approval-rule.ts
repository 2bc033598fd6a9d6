import { RekeyError } from '../../kernel/index.ts'
import type { Cli } from '../cli.ts'
import { ifAllowed } from '../client.ts'
import { EXIT } from '../exit.ts'
import type { Column } from '../output.ts'
import { shortTime, span } from '../text.ts'

interface Rule {
  readonly action: string
  readonly factors: readonly { readonly team: string; readonly count: number; readonly aal: number; readonly passkey: boolean }[] | null
  readonly expiresSeconds: number
  readonly changedAt: string
  readonly changedBy: string
  readonly reason: string
}

const factorsOf = ({ factors }: Rule, names: ReadonlyMap<string, string> = new Map()) =>
  factors
    ?.map(({ team, count, aal, passkey }) => `${count} of ${names.get(team) ?? team} (level ${aal}${passkey ? ', passkey' : ''})`)
    .join(' and ') ?? 'cannot be read: the action is refused'

const columnsOf = (names: ReadonlyMap<string, string>): readonly Column<Rule>[] => [
  { head: 'ACTION', of: (it) => it.action },
  { head: 'MUST BE APPROVED BY', of: (it) => factorsOf(it, names) },
  { head: 'WITHIN', of: (it) => span(it.expiresSeconds * 1000) },
  { head: 'SINCE', of: (it) => shortTime(it.changedAt) },
  { head: 'WHY', of: (it) => it.reason },
]

/** Lists the actions that must be approved. */
export async function ruleList(cli: Cli): Promise<number> {
  const client = await cli.client()
  const rules = await client.all<Rule>('/v1/approval-rules')
  const teams = cli.out.json || rules.length === 0 ? null : await ifAllowed(client.all<{ id: string; name: string }>('/v1/teams', {}))
  cli.out.list(rules, columnsOf(new Map(teams?.map(({ id, name }) => [id, name]))), 'No action needs approval.')
  return EXIT.ok
}

/** Says who must approve an action. Teams are named by id or name. */
export async function ruleSet(
  cli: Cli,
  action: string,
  { factor, expires, reason }: { readonly factor: readonly string[]; readonly expires?: number; readonly reason: string },
): Promise<number> {
  const client = await cli.client()
  const factors = []
  const names = new Map<string, string>()
  for (const { team, ...rest } of factor.map(parse)) {
    const { id, name } = await client.get<{ id: string; name: string }>(`/v1/teams/${encodeURIComponent(team)}`)
    names.set(id, name)
    factors.push({ team: id, ...rest })
  }
  const body = { action, factors, expiresSeconds: expires, reason }
  const rule = await client.post<Rule>('/v1/approval-rules', body, { startsWork: true })
  cli.out.fields(rule, [
    ['action', rule.action],
    ['must be approved by', factorsOf(rule, names)],
    ['within', span(rule.expiresSeconds * 1000)],
  ])
  return EXIT.ok
}

/** `security:2`, `security:2:3`, `security:2:3:passkey`; the team may hold colons. */
function parse(text: string): { team: string; count: number; aal: number; passkey: boolean } {
  const [, team, count, aal = '2', passkey] = /^(.+?):(\d{1,3})(?::([123]))?(:passkey)?$/.exec(text) ?? []
  // A team may be called so, but a level that there is not is more likely: such a team is named by its id.
  if (team === undefined || count === undefined || /:\d+$/.test(team)) {
    throw new RekeyError('bad_input', `Not a factor: ${text}`, {
      hint: 'Write team:count, team:count:level or team:count:level:passkey; the level is 1, 2 or 3.',
    })
  }
  if (Number(count) === 0) {
    throw new RekeyError('bad_input', `A factor asks for at least one person: ${text}`, {
      hint: 'To ask nobody any more: rekey approval rule remove.',
    })
  }
  return { team, count: Number(count), aal: Number(aal), passkey: passkey !== undefined }
}

/** Takes a rule away. */
export async function ruleRemove(cli: Cli, action: string, { reason }: { readonly reason: string }): Promise<number> {
  await (await cli.client()).post(`/v1/approval-rules/${encodeURIComponent(action)}/remove`, { reason }, { startsWork: true })
  if (cli.out.json) cli.out.object({ action, removed: true })
  else cli.out.note(`${action} needs no approval any more.`)
  return EXIT.ok
}
