import type { ClosureItemView, ClosureView } from '../../credential/index.ts'
import { RekeyError } from '../../kernel/index.ts'
import type { Cli } from '../cli.ts'
import { CLOSURES, countsText, exitOfClosure, ITEMS } from '../closure.ts'
import { EXIT } from '../exit.ts'
import { shortTime } from '../text.ts'

/** Options of `rekey closure list`. */
export interface ClosureListOptions {
  readonly open?: boolean
  readonly waiting?: boolean
  readonly limit?: number
}

/** Lists closures, newest first. */
export async function closureList(cli: Cli, { open, waiting, limit }: ClosureListOptions): Promise<number> {
  const asked = { open: open === true ? 'true' : undefined, waiting: waiting === true ? 'true' : undefined }
  const found = await (await cli.client()).all<ClosureView>('/v1/closures', asked, limit)
  cli.out.list(found, CLOSURES, 'There are no such closures.')
  return EXIT.ok
}

/** Shows one closure and every credential in it. */
export async function closureShow(cli: Cli, id: string): Promise<number> {
  const client = await cli.client()
  const path = `/v1/closures/${encodeURIComponent(id)}`
  const closure = await client.get<ClosureView>(path)
  const items = await client.all<ClosureItemView>(`${path}/credentials`)
  if (cli.out.json) cli.out.object({ ...closure, credentials: items })
  else {
    showClosure(cli, closure)
    cli.out.list(items, ITEMS, 'It has no credentials.')
  }
  return EXIT.ok
}

/** Shows one closure without its credentials. */
export function showClosure({ out }: Cli, closure: ClosureView): void {
  out.fields(closure, [
    ['closure', closure.closure],
    ['identity', closure.identity],
    ['goal', closure.goal],
    ['state', closure.state.replaceAll('_', ' ')],
    ['because', closure.reason],
    ['credentials', countsText(closure)],
    ['destroys after', closure.destroyAt === null ? null : shortTime(closure.destroyAt)],
    ['started', shortTime(closure.createdAt)],
    ['ended', closure.endedAt === null ? null : shortTime(closure.endedAt)],
  ])
}

/** Lets what waits for a human go on. */
export async function closureRetry(cli: Cli, id: string, { credential }: { readonly credential?: string }): Promise<number> {
  return send(cli, id, 'retry', { credential })
}

/** Options of `rekey closure resolve`. */
export interface ResolveOptions {
  readonly irrevocable?: boolean
  readonly leaked?: boolean
  readonly reason: string
}

/** A human's word about one credential of a closure. */
export async function closureResolve(cli: Cli, id: string, credential: string, options: ResolveOptions): Promise<number> {
  const { irrevocable, leaked, reason } = options
  if ((irrevocable === true) === (leaked === true)) throw new RekeyError('bad_input', 'Say one of --irrevocable and --leaked.')
  return send(cli, id, 'resolve', { credential, kind: leaked === true ? 'leaked' : 'irrevocable', reason })
}

async function send(cli: Cli, id: string, verb: string, body: object): Promise<number> {
  const client = await cli.client()
  const closure = await client.post<ClosureView>(`/v1/closures/${encodeURIComponent(id)}/${verb}`, body, { startsWork: true })
  showClosure(cli, closure)
  return verb === 'retry' ? EXIT.ok : exitOfClosure(closure)
}
