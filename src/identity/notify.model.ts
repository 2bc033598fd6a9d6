import { BlockList, isIP } from 'node:net'
import { RekeyError } from '../kernel/index.ts'
import { refuse } from './record.model.ts'

/** What kind of channels there are. */
export const CHANNEL_KINDS = ['webhook', 'smtp'] as const
/** One of the kinds of channels. */
export type ChannelKind = (typeof CHANNEL_KINDS)[number]

/** What of a webhook is no secret. */
export interface WebhookSettings {
  /** https; http to this machine only. */
  readonly url: string
  /** Where people find the console: what a notice links to begins so. */
  readonly link: string
  /** Certificates to trust instead of the usual ones, PEM; null for those. */
  readonly ca: string | null
}

/** What of a mail server is no secret. */
export interface SmtpSettings {
  readonly host: string
  readonly port: number
  /** `none` to this machine only (RFC 8314: implicit TLS first). */
  readonly tls: 'implicit' | 'starttls' | 'none'
  readonly from: string
  /** Null: the server takes mail without a login. */
  readonly user: string | null
  readonly link: string
  readonly ca: string | null
}

/** A channel as it is given. */
export type ChannelFields =
  | { readonly kind: 'webhook'; readonly settings: WebhookSettings }
  | { readonly kind: 'smtp'; readonly settings: SmtpSettings }

/** Shortest key of a webhook, bytes: what signs must not be guessed (NIST SP 800-107 section 5.3.2 asks for 112 bits). */
export const WEBHOOK_KEY_BYTES = 16

const LOOPBACK = new BlockList()
LOOPBACK.addSubnet('127.0.0.0', 8, 'ipv4')
LOOPBACK.addAddress('::1', 'ipv6')

/** Whether an address is this machine's own. Not for names: what they stand for can change. */
export function isLoopback(address: string): boolean {
  const family = isIP(address)
  return family !== 0 && LOOPBACK.check(address, family === 4 ? 'ipv4' : 'ipv6')
}

/** The host of a URL as an address or a name: without the brackets of IPv6. */
export function hostOf(url: URL): string {
  return url.hostname.replace(/^\[(.*)\]$/, '$1')
}

/** The settings, checked. Throws `bad_input` naming the first fault. */
export function checkChannel(fields: ChannelFields): ChannelFields {
  checkUrl('link', fields.settings.link)
  if (fields.kind === 'webhook') checkUrl('address of the webhook', fields.settings.url)
  else checkSmtp(fields.settings)
  return fields
}

function checkSmtp({ host, port, tls, from, user }: SmtpSettings): void {
  if (!/^[A-Za-z0-9][A-Za-z0-9.:-]{0,252}$/.test(host)) refuse('The mail server is a name or an address.')
  if (!Number.isInteger(port) || port < 1 || port > 65_535) refuse('The port is a number from 1 to 65535.')
  if (tls === 'none' && !isLoopback(host)) refuse('Mail without TLS goes to this machine only (127.0.0.1 or ::1).')
  if (!isMailAddress(from)) refuse('The sender is no mail address.')
  if (user !== null && !/^[\x21-\x7e]{1,200}$/.test(user)) refuse('The user has 1 to 200 printable characters without spaces.')
}

function checkUrl(what: string, text: string): URL {
  let url: URL
  try {
    url = new URL(text)
  } catch {
    return refuse(`The ${what} is no URL.`)
  }
  // A link is opened by the reader's browser; what Rekey itself sends to is named by address, so that no name service has a say in it.
  const local = isLoopback(hostOf(url)) || (what === 'link' && hostOf(url) === 'localhost')
  const names = what === 'link' ? 'localhost, 127.0.0.1 or [::1]' : '127.0.0.1 or [::1]'
  if (url.protocol !== 'https:' && !(url.protocol === 'http:' && local)) {
    refuse(`The ${what} begins with https:// (http:// only to ${names}).`)
  }
  // They would be shown in lists and in notices.
  if (url.username !== '' || url.password !== '' || url.hash !== '') refuse(`The ${what} holds no user, password or fragment.`)
  if (text.length > 1000) refuse(`The ${what} is longer than 1000 characters.`)
  return url
}

/** One plain address of ASCII: nothing that a header or an SMTP command could take for an end, a list or a name. */
export function isMailAddress(text: string): boolean {
  return text.length <= 254 && /^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?$/.test(text)
}

/** Why sending failed, in words that carry nothing of the other side's. `final`: trying again cannot help. */
export class SendFault extends RekeyError {
  readonly final: boolean
  constructor(message: string, final = false) {
    super('unavailable', message)
    this.final = final
  }
}

/** How often a notice is tried, and how long it waits after each try: 20 s, 40 s, … at most an hour. */
export const ATTEMPTS_MAX = 10

/** The wait after the try of this number, seconds. */
export function backoffSeconds(attempt: number): number {
  return Math.min(3_600, 10 * 2 ** attempt)
}
