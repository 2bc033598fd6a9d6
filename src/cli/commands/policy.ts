import { printable, RekeyError } from '../../kernel/index.ts'
import type { Cli, CommonOptions } from '../cli.ts'
import { EXIT } from '../exit.ts'
import { readPolicyFolder } from '../folder.ts'
import type { Column } from '../output.ts'
import { askLine, askYesNo, canAsk } from '../prompt.ts'
import { shortTime } from '../text.ts'

interface PolicySet {
  readonly id: string
  readonly origin: string
  readonly state: string
  readonly digest: string
  readonly words: string
  readonly proposedBy: string
  readonly proposedByName: string | null
  readonly proposedAt: string
  readonly activatedBy: string | null
  readonly activatedAt: string | null
  readonly bypassReason: string | null
}

interface FileChange {
  readonly file: string
  readonly change: string
  readonly lines: readonly string[]
}

interface BothHands {
  readonly kind: string
  readonly name: string
  readonly hands: readonly { readonly hand: string; readonly by: string; readonly actions: readonly string[] }[]
}

interface WholeSet extends PolicySet {
  readonly files: readonly { readonly name: string; readonly text: string }[]
  readonly changes: readonly FileChange[]
  readonly bothHands: readonly BothHands[]
  readonly schema: string
}

const SETS: readonly Column<PolicySet>[] = [
  { head: 'POLICIES', of: (it) => it.id },
  { head: 'STATE', of: (it) => it.state },
  { head: 'ORIGIN', of: (it) => it.origin },
  { head: 'PROPOSED BY', of: (it) => it.proposedByName ?? it.proposedBy },
  { head: 'IN FORCE SINCE', of: (it) => shortTime(it.activatedAt) },
  { head: 'WHY', of: (it) => it.words },
]

const pathOf = (id: string) => `/v1/policies/${encodeURIComponent(id)}`

/** Lists the sets of policies, newest first. */
export async function policyList(cli: Cli): Promise<number> {
  cli.out.list(await (await cli.client()).all<PolicySet>('/v1/policies'), SETS, 'There are no policies.')
  return EXIT.ok
}

/** Shows one set with its texts, by default the one in force; or what policies can speak of. */
export async function policyShow(cli: Cli, id: string | undefined, { schema }: { readonly schema?: boolean }): Promise<number> {
  const set = await (await cli.client()).get<WholeSet>(pathOf(id ?? 'active'))
  if (cli.out.json) cli.out.object(schema ? { schema: set.schema } : set)
  else if (schema) for (const line of set.schema.split('\n')) cli.out.line(printable(line))
  else for (const { name, text } of set.files) for (const line of [`// ${name}`, ...text.split('\n')]) cli.out.line(printable(line))
  return EXIT.ok
}

interface Diff {
  readonly changes: readonly FileChange[]
  readonly bothHands: readonly BothHands[]
}

/** What a folder of policies, laid over the default ones, would change. Nothing is stored. */
export async function policyDiff(cli: Cli, folder: string): Promise<number> {
  const files = await readPolicyFolder(folder)
  const diff = await (await cli.client()).post<Diff>('/v1/policies/diff', { files }, { startsWork: false })
  if (cli.out.json) cli.out.object(diff)
  else {
    showChanges(cli, diff.changes)
    noteBoth(cli, diff.bothHands)
  }
  return EXIT.ok
}

interface Proposed {
  readonly id: string
  readonly digest: string
  readonly changes: readonly FileChange[]
  readonly approval: string | null
  readonly bothHands: readonly BothHands[]
  readonly activation: { readonly words: string }
}

interface ProposeOptions extends CommonOptions {
  readonly reason: string
  readonly force?: boolean
}

/** Proposes a folder of policies, laid over the default ones. They decide nothing until they are approved. */
export async function policyPropose(cli: Cli, folder: string, { reason, force = false }: ProposeOptions): Promise<number> {
  const body = { files: await readPolicyFolder(folder), reason, force }
  const made = await (await cli.client()).post<Proposed>('/v1/policies', body, {
    startsWork: true,
  })
  if (!cli.out.json) {
    showChanges(cli, made.changes)
    noteBoth(cli, made.bothHands)
  }
  cli.out.fields(made, [
    ['proposed', made.id],
    ['digest', made.digest],
    ['others were asked', made.approval],
    ['in force by', made.activation.words],
  ])
  return EXIT.ok
}

interface ApproveOptions extends CommonOptions {
  readonly digest?: string
  readonly reason?: string
}

/**
 * Approves a proposed set and brings it into force; where a rule asks for more people, once those have approved. What is sent is the digest
 * of what was shown; who gives one with --digest has read it elsewhere.
 */
export async function policyApprove(cli: Cli, id: string, { digest, reason }: ApproveOptions): Promise<number> {
  const client = await cli.client()
  if (reason === undefined && !canAsk()) throw new RekeyError('bad_input', 'Say why: nobody can be asked here.', { hint: 'Add --reason.' })
  const seen = digest ?? (await read(cli, id))
  if (seen === null) return EXIT.failed
  const why = reason ?? (await askLine('Why, for the evidence: '))
  if (why === '') throw new RekeyError('bad_input', 'There is no approval without a reason.')
  showSet(cli, await client.post<PolicySet>(`${pathOf(id)}/approve`, { digest: seen, reason: why }, { startsWork: false }))
  return EXIT.ok
}

async function read(cli: Cli, id: string): Promise<string | null> {
  if (!canAsk()) {
    throw new RekeyError('bad_input', 'Nobody can be asked here.', {
      hint: 'Read it with rekey policy show ID --json, and add its --digest.',
    })
  }
  const { digest, changes, bothHands, words, proposedBy } = await (await cli.client()).get<WholeSet>(pathOf(id))
  showChanges(cli, changes)
  noteBoth(cli, bothHands)
  cli.out.note(`${printable(proposedBy)} says: ${printable(words)}`)
  cli.out.note(`digest ${digest}`)
  if (await askYesNo('Do you approve exactly these policies?')) return digest
  cli.out.note('Nothing was changed.')
  return null
}

/** Brings a proposed set into force without approval. Shows it and asks, since the digest that is sent is of what was shown. */
export async function policyBypass(
  cli: Cli,
  id: string,
  { reason, yes }: CommonOptions & { readonly reason: string; readonly yes?: boolean },
): Promise<number> {
  const client = await cli.client()
  const { digest, changes, bothHands } = await client.get<WholeSet>(pathOf(id))
  if (!cli.out.json) showChanges(cli, changes)
  noteBoth(cli, bothHands)
  if (!yes && !canAsk()) throw new RekeyError('bad_input', 'Nobody can be asked here.', { hint: 'Add --yes.' })
  if (!yes && !(await askYesNo('Bring these policies into force without approval?'))) {
    cli.out.note('Nothing was changed.')
    return EXIT.failed
  }
  const set = await client.post<PolicySet>(`${pathOf(id)}/bypass`, { digest, reason }, { startsWork: false })
  showSet(cli, set)
  return EXIT.ok
}

function showSet({ out }: Cli, set: PolicySet): void {
  out.fields(set, [
    ['policies', set.id],
    ['state', set.state],
    ['in force since', shortTime(set.activatedAt)],
    ['without approval', set.bypassReason],
  ])
}

/** Whom it puts both hands together for, by what. */
function noteBoth({ out }: Cli, found: readonly BothHands[]): void {
  for (const { kind, name, hands } of found) {
    out.note(printable(`${kind} ${name} would hold directory rights and credential rights together, by:`))
    for (const { hand, by, actions } of hands) out.note(printable(`  ${hand}: ${by} (${actions.join(', ')})`))
  }
}

function showChanges({ out }: Cli, changes: readonly FileChange[]): void {
  for (const { file, change, lines } of changes) {
    out.line(`${printable(file)} (${change})`)
    for (const line of lines) out.line(`  ${printable(line)}`)
  }
}
