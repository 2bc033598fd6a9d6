import type { RotationView } from '../../credential/index.ts'
import { counted } from '../../kernel/index.ts'
import type { Cli } from '../cli.ts'
import { EXIT } from '../exit.ts'
import { shortTime } from '../text.ts'
import { age, rotationLines } from '../views.ts'

interface Status {
  readonly version: string
  readonly role: string
  readonly counts: Readonly<Record<string, number>>
  readonly blocked: readonly RotationView[]
  readonly retrying: readonly RotationView[]
  readonly unclaimedSince: string | null
  readonly evidence: {
    readonly unsequenced: number
    readonly checkpoints: readonly { readonly log: string; readonly size: number; readonly at: string }[]
  }
}

/** Shows what the server has, what is under way and what waits for a human. */
export async function status(cli: Cli): Promise<number> {
  const found = await (await cli.client()).get<Status>('/v1/status')
  cli.out.fields(found, [
    ['server', cli.config.url],
    ['version', `${found.version}, role ${found.role}`],
    ...Object.entries(found.counts).map(([name, count]) => [wordsOf(name), count] as const),
    ...found.evidence.checkpoints.map(({ log, size, at }) => [`${log} log`, `${counted(size, 'event')}, signed ${shortTime(at)}`] as const),
    ['not yet signed', found.evidence.unsequenced],
  ])
  if (!cli.out.json && found.blocked.length > 0) {
    const now = cli.clock.now()
    for (const view of found.blocked) {
      for (const line of rotationLines(view, cli.out.colors('stdout'))) cli.out.line(line)
      cli.out.line(`    blocked for ${age(view.blockedAt, now)}`)
    }
  }
  if (!cli.out.json) {
    for (const view of found.retrying) {
      for (const line of rotationLines(view, cli.out.colors('stdout'))) cli.out.line(line)
      cli.out.line(`    tried ${counted(view.tries, 'time')}`)
    }
  }
  if (found.unclaimedSince !== null) cli.out.warn(`${NO_WORKER} (due since ${shortTime(found.unclaimedSince)}).`)
  return EXIT.ok
}

const NO_WORKER = 'no worker takes what is due: start one (rekey serve --role worker, or without --role), or see what its log says'

/** `liveRotations` as `live rotations`. */
const wordsOf = (name: string) => name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`)
