import { RekeyError } from '../../kernel/index.ts'
import type { Cli } from '../cli.ts'
import { EXIT } from '../exit.ts'
import { readInput } from '../files.ts'
import type { Column } from '../output.ts'
import { readSecretFile } from '../secrets.ts'
import { shortTime } from '../text.ts'

interface Channel {
  readonly name: string
  readonly kind: 'webhook' | 'smtp'
  readonly settings: { readonly url?: string; readonly host?: string; readonly port?: number; readonly tls?: string; readonly link: string }
  readonly createdAt: string
}

interface Delivery {
  readonly id: string
  readonly channel: string
  readonly event: string
  readonly approval: string | null
  readonly identityName: string | null
  readonly state: string
  readonly attempts: number
  readonly fault: string | null
  readonly createdAt: string
}

const whereTo = ({ settings: { url, host, port, tls } }: Channel) => url ?? `${host}:${port} (${tls})`

const CHANNELS: readonly Column<Channel>[] = [
  { head: 'CHANNEL', of: (it) => it.name },
  { head: 'KIND', of: (it) => it.kind },
  { head: 'TO', of: whereTo },
  { head: 'LINKS TO', of: (it) => it.settings.link },
  { head: 'SINCE', of: (it) => shortTime(it.createdAt) },
]

const DELIVERIES: readonly Column<Delivery>[] = [
  { head: 'DELIVERY', of: (it) => it.id },
  { head: 'STATE', of: (it) => it.state },
  { head: 'CHANNEL', of: (it) => it.channel },
  { head: 'NOTICE', of: (it) => it.event },
  { head: 'APPROVAL', of: (it) => it.approval },
  { head: 'TO', of: (it) => it.identityName },
  { head: 'TRIES', of: (it) => it.attempts, right: true },
  { head: 'WHY', of: (it) => it.fault },
]

/** Most bytes of a file of certificates. */
const CA_BYTES = 64_000

/** Lists the channels. */
export async function channelList(cli: Cli): Promise<number> {
  const none = 'There are no channels: approvers are told by nobody. See rekey notify channel add --help'
  cli.out.list(await (await cli.client()).all<Channel>('/v1/notify/channels'), CHANNELS, none)
  return EXIT.ok
}

interface AddOptions {
  readonly webhook?: string
  readonly smtp?: string
  readonly tls?: string
  readonly from?: string
  readonly user?: string
  readonly secretFile?: string
  readonly caFile?: string
  readonly link: string
}

/** Adds a channel. Its secret comes from a file, never from the command line. */
export async function channelAdd(cli: Cli, name: string, options: AddOptions): Promise<number> {
  const { webhook, smtp, link, user = null, caFile } = options
  if ((webhook === undefined) === (smtp === undefined)) throw new RekeyError('bad_input', 'Name either --webhook or --smtp.')
  if (webhook !== undefined && options.secretFile === undefined) {
    throw new RekeyError('bad_input', 'A webhook is signed: give the file with its key, --secret-file.', {
      hint: 'Any 16 bytes or more; the receiver needs the same.',
    })
  }
  const secret = await secretOf(cli, name, options)
  const ca = caFile === undefined ? null : Buffer.from((await readInput(caFile, CA_BYTES, 'The certificates')).bytes).toString('utf8')
  const body =
    webhook === undefined
      ? {
          name,
          secret,
          smtp: { ...placeOf(smtp ?? ''), tls: options.tls ?? 'implicit', from: options.from, user, link, ca },
        }
      : { name, secret, webhook: { url: webhook, link, ca } }
  const channel = await (await cli.client()).post<Channel>('/v1/notify/channels', body, { startsWork: true })
  cli.out.fields(channel, [
    ['channel', channel.name],
    ['kind', channel.kind],
    ['to', whereTo(channel)],
    ['links to', channel.settings.link],
  ])
  return EXIT.ok
}

async function secretOf({ out }: Cli, name: string, { secretFile }: AddOptions): Promise<string | null> {
  if (secretFile === undefined) return null
  const secret = await readSecretFile(secretFile, `channel ${name}`, out)
  return secret.reveal((bytes) => Buffer.from(bytes).toString('base64'))
}

function placeOf(text: string): { host: string; port: number } {
  const [, six, host, port] = /^(?:\[([0-9a-fA-F:]+)\]|([A-Za-z0-9.-]+)):(\d{1,5})$/.exec(text) ?? []
  if (port === undefined)
    throw new RekeyError('bad_input', `Not a mail server: ${text}`, { hint: 'Write host:port, such as mail.example.com:465.' })
  return { host: six ?? host ?? '', port: Number(port) }
}

/** Sends a test. Ends with 1 if it was not taken. */
export async function channelTest(cli: Cli, name: string): Promise<number> {
  const path = `/v1/notify/channels/${encodeURIComponent(name)}/test`
  const result = await (await cli.client()).post<{ sent: boolean; fault: string | null }>(path, {}, { startsWork: true })
  cli.out.fields(result, [
    ['sent', result.sent ? 'yes' : 'no'],
    ['because', result.fault],
  ])
  return result.sent ? EXIT.ok : EXIT.failed
}

/** Removes a channel. */
export async function channelRemove(cli: Cli, name: string): Promise<number> {
  await (await cli.client()).post(`/v1/notify/channels/${encodeURIComponent(name)}/remove`, {}, { startsWork: true })
  if (cli.out.json) cli.out.object({ channel: name, removed: true })
  else cli.out.note(`${name} is gone, and its secret with it.`)
  return EXIT.ok
}

/** Answers for a channel. */
export async function channelConfirm(cli: Cli, name: string, { reason }: { readonly reason: string }): Promise<number> {
  const path = `/v1/notify/channels/${encodeURIComponent(name)}/confirm`
  const done = await (await cli.client()).post<{ name: string }>(path, { reason }, { startsWork: true })
  cli.out.fields(done, [['confirmed', done.name]])
  return EXIT.ok
}

/** Lists notices, newest first. */
export async function notifyDeliveries(cli: Cli, { state }: { readonly state?: string }): Promise<number> {
  cli.out.list(await (await cli.client()).all<Delivery>('/v1/notify/deliveries', { state }), DELIVERIES, 'There are no such notices.')
  return EXIT.ok
}
