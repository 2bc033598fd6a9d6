import { dirname, resolve } from 'node:path'
import { type Change, decodeFleet, renderDiff } from '../../credential/index.ts'
import { isCode, LIMITS, RekeyError } from '../../kernel/index.ts'
import type { Cli } from '../cli.ts'
import { EXIT } from '../exit.ts'
import { readInput } from '../files.ts'
import { askSecrets, type Needed, readInputs } from '../inputs.ts'
import { askYesNo, canAsk } from '../prompt.ts'
import { checkDeclared, declaredSources } from '../sources.ts'

/** Options of `rekey apply`. */
export interface ApplyOptions {
  readonly file: string
  readonly dryRun?: boolean
  readonly yes?: boolean
  readonly prune?: boolean
}

interface Diff {
  readonly changes: readonly Change[]
  readonly summary: unknown
  readonly digest: string
  readonly needed: readonly Needed[]
  /** Paths of files with certificate authorities. */
  readonly authorities: readonly string[]
}

interface Applied {
  readonly changes: readonly Change[]
  readonly applied: { readonly add: number; readonly change: number; readonly removed: number }
}

/** Shows what a fleet file would change, asks, and applies it in one transaction. */
export async function apply(cli: Cli, options: ApplyOptions): Promise<number> {
  const text = await readFleet(options.file)
  const folder = options.file === '-' ? process.cwd() : dirname(resolve(options.file))
  const client = await cli.client()
  const diff = await namingFile(options.file, client.post<Diff>('/v1/fleet/diff', { text, folder }, { startsWork: false }))
  const prune = options.prune === true
  const changing = diff.changes.filter(({ kind }) => prune || kind !== 'missing-from-file')
  checkDeclared(
    declaredSources(text, folder),
    diff.needed.map(({ source }) => source),
    diff.authorities,
  )
  // Before anything is shown or asked: who has agreed to a diff should not hear then that it cannot be applied.
  const authoritiesToRead = changing.length === 0 ? [] : diff.authorities
  const inputs = await readInputs({ file: options.file, text, folder }, diff.needed, authoritiesToRead, {
    out: cli.out,
    looking: options.dryRun === true,
  })
  show(cli, diff, options)
  if (options.dryRun) return EXIT.ok
  refuseDangerous(diff.changes)
  if (changing.length === 0) return nothing(cli, diff)
  if (!(await confirmed(options, changing))) return refusedByUser(cli)
  const { authorities } = inputs
  const secrets = { ...inputs.secrets, ...(await askSecrets(diff.needed, cli.out)) }
  const body = { text, folder, digest: diff.digest, prune, secrets, authorities }
  const request = client.post<Applied>('/v1/fleet/apply', body, { startsWork: true })
  const { changes, applied } = await namingFile(options.file, request)
  if (cli.out.json) cli.out.object({ changes, applied })
  else cli.out.line(`Applied: ${applied.add} added, ${applied.change} changed, ${applied.removed} removed`)
  return EXIT.ok
}

async function readFleet(path: string): Promise<string> {
  const { bytes } = await readInput(path, LIMITS.fleetBytes)
  if (bytes.length > LIMITS.fleetBytes) throw new RekeyError('too_large', `${path} is larger than a fleet file can be.`)
  return decodeFleet(bytes)
}

/** The server knows lines, the user also wants the file. */
async function namingFile<T>(file: string, request: Promise<T>): Promise<T> {
  try {
    return await request
  } catch (error) {
    if (!isCode(error, 'fleet_invalid') && !isCode(error, 'conflict')) throw error
    // A fault without a line is of what is stored, and says itself whose it is.
    const faults = error.faults?.map(({ message, line }) => (line === undefined ? { message } : { path: file, line, message }))
    throw new RekeyError(error.code, error.message, { hint: error.hint, faults })
  }
}

function show({ out }: Cli, { changes, summary }: Diff, { dryRun, yes }: ApplyOptions): void {
  if (out.json && dryRun) out.object({ changes, summary })
  else if (!out.json) for (const line of renderDiff(changes, { color: out.colors('stdout') })) out.line(line)
  // Who is asked must see what about, and the result alone is JSON.
  else if (!yes && canAsk()) for (const line of renderDiff(changes, { color: out.colors('stderr') })) out.note(line)
}

function refuseDangerous(changes: readonly Change[]): void {
  const refused = changes.filter(({ dangerous }) => dangerous)
  if (refused.length === 0) return
  const faults = refused.map(({ of, name, reason }) => ({ message: `${of} ${name}: ${reason}` }))
  throw new RekeyError('conflict', 'Nothing was applied: changes of the file cannot be made.', { faults })
}

function nothing({ out }: Cli, { changes }: Diff): number {
  if (out.json) out.object({ changes, applied: { add: 0, change: 0, removed: 0 } })
  else out.note('Nothing to apply.')
  return EXIT.ok
}

async function confirmed({ yes }: ApplyOptions, changing: readonly Change[]): Promise<boolean> {
  if (yes) return true
  if (!canAsk()) {
    throw new RekeyError('bad_input', 'Nothing was applied: there is no terminal to ask on.', {
      hint: 'Say --yes to apply, or --dry-run to look.',
    })
  }
  const removed = changing.filter(({ kind }) => kind === 'missing-from-file').length
  const some = changing.length === 1 ? 'this change' : `these ${changing.length} changes`
  if (removed === 0) return askYesNo(`Apply ${some}?`)
  const removals = changing.length === 1 ? 'which removes an item' : `of which ${removed} ${removed === 1 ? 'removes' : 'remove'} an item`
  return askYesNo(`Apply ${some}, ${removals}?`)
}

function refusedByUser({ out }: Cli): number {
  out.note('Nothing was applied.')
  return EXIT.failed
}
