/** The two ways out. Both go where an address guard lets them, to the very address that it looked at, within a time limit. */
import { lookup } from 'node:dns/promises'
import { request as plainRequest } from 'node:http'
import { request as tlsRequest } from 'node:https'
import { isIP, type LookupFunction } from 'node:net'
import type { Ctx, Secret } from '../kernel/index.ts'
import { messageSignature } from '../seal/index.ts'
import { hostOf, isLoopback, SendFault, type SmtpSettings, type WebhookSettings } from './notify.model.ts'

/** Which addresses may be connected to. `check` throws for one that may not. */
export interface Guard {
  check(host: string): Promise<void>
}

/** How long one message may take. */
const SEND_MS = 15_000

/**
 * Sends one signed message (POST). `Rekey-Signature: v1=…` is HMAC-SHA256 of `timestamp.body` under the shared key, lower-case hex, with
 * `Rekey-Timestamp` in Unix seconds; `Rekey-Delivery` stays the same when the message is sent again. A redirect is not followed. Throws
 * `SendFault` unless the answer is 2xx.
 */
export async function sendWebhook(
  guard: Guard,
  ctx: Ctx,
  { url: text, ca }: WebhookSettings,
  key: Secret,
  message: { readonly delivery: string; readonly body: string },
): Promise<void> {
  const url = new URL(text)
  const address = await reach(guard, hostOf(url), url.protocol === 'http:')
  const timestamp = Math.floor(ctx.clock.now().getTime() / 1000)
  const headers = {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(message.body),
    'user-agent': 'rekey',
    'rekey-delivery': message.delivery,
    'rekey-timestamp': String(timestamp),
    'rekey-signature': `v1=${messageSignature(key, `${timestamp}.${message.body}`)}`,
  }
  const signal = AbortSignal.any([ctx.signal, AbortSignal.timeout(SEND_MS)])
  const options = { method: 'POST', headers, agent: false, signal, lookup: always(address), ...(ca === null ? {} : { ca }) }
  const status = await new Promise<number>((resolve, reject) => {
    const sent = (url.protocol === 'http:' ? plainRequest : tlsRequest)(url, options, (answer) => {
      // Nothing of the answer but its status is of use, and it could be endless.
      resolve(answer.statusCode ?? 0)
      answer.destroy()
    })
    sent.on('error', (error: { code?: string }) => reject(new SendFault(faultOf('the webhook', error.code, signal.aborted))))
    sent.end(message.body)
  })
  if (status < 200 || status > 299) throw new SendFault(`the webhook answered with status ${status}`)
}

/** A mail of plain text. */
export interface Mail {
  readonly delivery: string
  readonly to: string
  readonly subject: string
  readonly text: string
}

/** Sends one mail. TLS must come about, or the server be this machine. Throws `SendFault` unless the server took it. */
export async function sendMail(guard: Guard, settings: SmtpSettings, password: Secret | null, mail: Mail): Promise<void> {
  const { host, port, tls, from, user, ca } = settings
  const address = await reach(guard, host, tls === 'none')
  const domain = from.slice(from.lastIndexOf('@') + 1)
  const auth = user === null || password === null ? {} : { auth: { user, pass: password.revealText((text) => text) } }
  // Loaded when the first mail is sent: memory that an installation without SMTP need not carry.
  const { createTransport } = await import('nodemailer')
  const transport = createTransport({
    host: address,
    port,
    secure: tls === 'implicit',
    requireTLS: tls === 'starttls',
    ignoreTLS: tls === 'none',
    tls: { minVersion: 'TLSv1.2', ...(isIP(host) === 0 ? { servername: host } : {}), ...(ca === null ? {} : { ca }) },
    // Not this machine's name.
    name: domain,
    connectionTimeout: SEND_MS,
    greetingTimeout: SEND_MS,
    socketTimeout: SEND_MS,
    disableFileAccess: true,
    disableUrlAccess: true,
    ...auth,
  })
  try {
    await transport.sendMail({
      from,
      to: mail.to,
      envelope: { from, to: mail.to },
      subject: mail.subject,
      text: mail.text,
      messageId: `<${mail.delivery}@${domain}>`,
      headers: { 'Auto-Submitted': 'auto-generated', 'Rekey-Delivery': mail.delivery },
      disableFileAccess: true,
      disableUrlAccess: true,
    })
  } catch (error) {
    const { responseCode, code } = error as { responseCode?: number; code?: string }
    if (responseCode !== undefined) throw new SendFault(`the mail server answered with ${responseCode}`)
    // Where it speaks in the clear, its greeting is no TLS, and that is all the library knows.
    if (tls === 'implicit' && code === 'ESOCKET')
      throw new SendFault('the mail server could not be reached, or speaks no TLS there (ESOCKET)')
    throw new SendFault(faultOf('the mail server', code, false))
  } finally {
    transport.close()
  }
}

/** Codes of Node and of the mail library are their own words; their messages may quote what was sent. */
function faultOf(what: string, code: string | undefined, late: boolean): string {
  if (late) return `${what} did not answer in time`
  return `${what} could not be reached${code !== undefined && /^[A-Z0-9_]{1,60}$/.test(code) ? ` (${code})` : ''}`
}

/** The address to connect to: one that the guard has seen. Without TLS only this machine's own. Throws `SendFault`. */
async function reach(guard: Guard, host: string, plain: boolean): Promise<string> {
  const found = isIP(host) === 0 ? await lookup(host, { all: true, verbatim: true }).catch(() => []) : [{ address: host }]
  const [first] = found
  if (first === undefined) throw new SendFault(`the name ${host} does not resolve`)
  for (const { address } of found) {
    await guard.check(address).catch(() => {
      throw new SendFault(`Rekey does not connect to ${address}`)
    })
    if (plain && !isLoopback(address)) throw new SendFault('without TLS only this machine is written to')
  }
  return first.address
}

/** Connects to this address whatever the name says now: between the look and the connection a name may have changed. */
function always(address: string): LookupFunction {
  const family = isIP(address)
  return (_host, options, done) => {
    if (options.all) (done as (error: null, all: { address: string; family: number }[]) => void)(null, [{ address, family }])
    else done(null, address, family)
  }
}
