import { printable, RekeyError } from '../../kernel/index.ts'
import type { Cli } from '../cli.ts'
import { EXIT } from '../exit.ts'
import type { Column } from '../output.ts'
import { askYesNo, canAsk } from '../prompt.ts'
import { printableLines, shortTime } from '../text.ts'

interface Approval {
  readonly id: string
  readonly action: string
  readonly subject: string
  readonly state: string
  readonly requestedBy: { readonly kind: string; readonly name: string }
  readonly requestedAt: string
  readonly expiresAt: string
  readonly waitsForMe: boolean
}

interface ApprovalFull extends Approval {
  readonly words: string
  readonly what: unknown
  readonly digest: string
  readonly factors: readonly {
    readonly teamName: string
    readonly count: number
    readonly aal: number
    readonly passkey: boolean
    readonly lacking: number
    readonly approvers: readonly { readonly name: string; readonly eligible: boolean }[]
  }[]
  readonly decisions: readonly {
    readonly name: string
    readonly decision: string
    readonly reason: string
    readonly aal: number
    readonly at: string
    readonly takenBackAt: string | null
    readonly takenBackReason: string | null
  }[]
  readonly bypass: { readonly reason: string } | null
  readonly withdrawnReason: string | null
}

const APPROVALS: readonly Column<Approval>[] = [
  { head: 'APPROVAL', of: (it) => it.id },
  { head: 'STATE', of: (it) => it.state },
  { head: 'ACTION', of: (it) => it.action },
  { head: 'ON', of: (it) => it.subject },
  { head: 'ASKED BY', of: (it) => it.requestedBy.name },
  { head: 'UNTIL', of: (it) => shortTime(it.expiresAt) },
  { head: 'WAITS FOR YOU', of: (it) => (it.waitsForMe ? 'yes' : '') },
]

const pathOf = (id: string) => `/v1/approvals/${encodeURIComponent(id)}`

/** Lists requests, newest first. */
export async function approvalList(cli: Cli, { of }: { readonly of?: string }): Promise<number> {
  cli.out.list(await (await cli.client()).all<Approval>('/v1/approvals', { of }), APPROVALS, 'There are no such requests.')
  return EXIT.ok
}

/** Shows one request: exactly what is approved, who may decide and who did. */
export async function approvalShow(cli: Cli, id: string): Promise<number> {
  show(cli, await (await cli.client()).get<ApprovalFull>(pathOf(id)))
  return EXIT.ok
}

interface DecideOptions {
  readonly reason: string
  readonly digest?: string
}

/**
 * Approves, rejects or bypasses. What is sent is the digest of what was shown; who gives one with --digest has read it elsewhere. There
 * is no way to say yes to whatever it may be.
 */
export function approvalDecide(verb: 'approve' | 'reject' | 'bypass') {
  return async (cli: Cli, id: string, { reason, digest }: DecideOptions): Promise<number> => {
    const seen = digest ?? (await read(cli, verb, id))
    if (seen === null) return EXIT.failed
    show(cli, await (await cli.client()).post<ApprovalFull>(`${pathOf(id)}/${verb}`, { digest: seen, reason }, { startsWork: true }))
    return EXIT.ok
  }
}

async function read(cli: Cli, verb: string, id: string): Promise<string | null> {
  if (!canAsk()) {
    throw new RekeyError('bad_input', 'Nobody can be asked here.', { hint: 'Read it with rekey approval show, and add its --digest.' })
  }
  const found = await (await cli.client()).get<ApprovalFull>(pathOf(id))
  for (const line of printableLines(found.words)) cli.out.note(line)
  cli.out.note(`digest ${found.digest}`)
  if (await askYesNo(`Do you ${verb} exactly this?`)) return found.digest
  cli.out.note('Nothing was decided.')
  return null
}

/** Takes back one's own request or approval. */
export function approvalTakeBack(verb: 'withdraw' | 'take-back') {
  return async (cli: Cli, id: string, { reason }: { readonly reason: string }): Promise<number> => {
    show(cli, await (await cli.client()).post<ApprovalFull>(`${pathOf(id)}/${verb}`, { reason }, { startsWork: true }))
    return EXIT.ok
  }
}

function show({ out }: Cli, it: ApprovalFull): void {
  out.fields(it, [
    ['approval', it.id],
    ['state', it.state],
    ['action', it.action],
    ['on', it.subject],
    ['asked by', `${it.requestedBy.name} (${it.requestedBy.kind})`],
    ['asked', shortTime(it.requestedAt)],
    ['until', shortTime(it.expiresAt)],
    ['digest', it.digest],
    ['bypassed', it.bypass?.reason],
  ])
  if (out.json) return
  for (const line of ['', ...printableLines(it.words), '', `as data: ${printable(JSON.stringify(it.what))}`, '']) out.line(line)
  for (const { teamName, count, aal, passkey, lacking, approvers } of it.factors) {
    const how = `level ${aal}${passkey ? ', with a passkey' : ''}; ${lacking === 0 ? 'enough' : `${lacking} still missing`}`
    out.line(
      printable(
        `${count} of ${teamName} (${how}): ${
          approvers
            .filter((one) => one.eligible)
            .map((one) => one.name)
            .join(', ') || '-'
        }`,
      ),
    )
  }
  for (const { name, decision, reason, aal, at, takenBackAt, takenBackReason } of it.decisions) {
    out.line(printable(`${shortTime(at)}  ${name}: ${decision} (level ${aal}): ${reason}`))
    if (takenBackAt !== null) out.line(printable(`${shortTime(takenBackAt)}  ${name}: taken back: ${takenBackReason ?? '-'}`))
  }
  if (it.withdrawnReason !== null) out.line(printable(`withdrawn: ${it.withdrawnReason}`))
}
