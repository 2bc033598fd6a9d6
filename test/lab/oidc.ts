/** A real OpenID provider (oidc-provider) on loopback, and a person's browser that goes through its pages. */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { text } from 'node:stream/consumers'
import Provider from 'oidc-provider'
import { newId } from '../../src/kernel/index.ts'
import { portOf } from './ports.ts'

/** Who logs in at the provider, and how well. */
export interface Person {
  readonly account: string
  readonly acr?: string
  readonly amr?: readonly string[]
  /** How long ago, seconds. */
  readonly agoSeconds?: number
  /** Asks for nothing: the provider's answer is `access_denied`. */
  readonly refuses?: true
}

export interface OidcLab {
  readonly issuer: string
  readonly clientId: string
  readonly clientSecret: string
  /** Goes where the login page sends the browser, logs in, and resolves with what comes back to the callback: query or fragment. */
  visit(url: string, person: Person): Promise<string>
  stop(): Promise<void>
}

interface Options {
  /** Where codes may be sent. */
  readonly redirectUris: readonly string[]
  readonly auth?: 'none' | 'client_secret_basic' | 'private_key_jwt'
  /** Public keys of a client with `private_key_jwt`. */
  readonly jwks?: object
  /** Account → its address and whether it is verified. */
  readonly emails?: Readonly<Record<string, { readonly email: string; readonly verified: boolean }>>
}

/** The provider's own page, for browsers. */
const PAGE = `<!doctype html><html lang="en"><title>The provider</title><h1>Log in at the provider</h1>
<form method="post"><label>Account <input name="account"></label><label>How <input name="acr"></label>
<button name="do" value="login">Log in</button><button name="do" value="refuse">Refuse</button></form></html>`

const ACR = ['urn:lab:password', 'urn:lab:mfa', 'urn:lab:hardware']

/** Starts a provider with one client. */
export async function startOidc({ redirectUris, auth = 'client_secret_basic', jwks, emails = {} }: Options): Promise<OidcLab> {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const issuer = `http://127.0.0.1:${portOf(server)}`
  const clientId = 'rekey'
  const clientSecret = newId()
  const provider = new Provider(issuer, {
    clients: [
      {
        client_id: clientId,
        ...(auth === 'client_secret_basic' ? { client_secret: clientSecret } : {}),
        ...(jwks === undefined ? {} : { jwks: jwks as never }),
        token_endpoint_auth_method: auth,
        redirect_uris: [...redirectUris],
        response_types: ['code'],
        grant_types: ['authorization_code'],
      },
    ],
    acrValues: ACR,
    claims: { openid: ['sub', 'acr', 'amr', 'auth_time'], email: ['email', 'email_verified'] },
    conformIdTokenClaims: false,
    clientBasedCORS: () => false,
    features: { devInteractions: { enabled: false } },
    interactions: { url: (_ctx, interaction) => `/interaction/${interaction.uid}` },
    findAccount: (_ctx, id) => ({
      accountId: id,
      claims: async () => ({ sub: id, ...(emails[id] && { email: emails[id].email, email_verified: emails[id].verified }) }),
    }),
    async loadExistingGrant(ctx) {
      const grant = new ctx.oidc.provider.Grant({ clientId, accountId: ctx.oidc.session?.accountId ?? '' })
      grant.addOIDCScope('openid email')
      await grant.save()
      return grant
    },
  })
  const pages = provider.callback()
  const finish = async (request: IncomingMessage, answer: ServerResponse, person: Person): Promise<void> => {
    const { account, acr, amr, agoSeconds = 0 } = person
    const ts = Math.floor((performance.timeOrigin + performance.now()) / 1000) - agoSeconds
    const login = { accountId: account, ts, remember: false, ...(acr && { acr }), ...(amr && { amr: [...amr] }) }
    const result = person.refuses ? { error: 'access_denied' } : { login, consent: {} }
    await provider.interactionFinished(request, answer, result)
  }
  // What `visit` does at the provider's page stands in a header of the lab; a browser is shown the page itself.
  server.on('request', async (request: IncomingMessage, answer: ServerResponse) => {
    if (!request.url?.startsWith('/interaction/')) return void pages(request, answer)
    const { 'x-person': header } = request.headers
    if (header !== undefined) return finish(request, answer, JSON.parse(String(header)))
    if (request.method !== 'POST') return void answer.setHeader('content-type', 'text/html; charset=utf-8').end(PAGE)
    const fields = new URLSearchParams(await text(request))
    const account = fields.get('account') ?? ''
    const acr = fields.get('acr') ?? ''
    return finish(request, answer, { account, acr, ...(fields.get('do') === 'refuse' ? { refuses: true } : {}) })
  })
  return {
    issuer,
    clientId,
    clientSecret,
    visit,
    async stop() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

async function visit(start: string, person: Person): Promise<string> {
  const back = new URL(start).searchParams.get('redirect_uri') ?? ''
  const cookies = new Map<string, string>()
  let url = start
  for (let hop = 0; hop < 10; hop++) {
    const cookie = [...cookies].map(([name, value]) => `${name}=${value}`).join('; ')
    const answer = await fetch(url, { redirect: 'manual', headers: { cookie, 'x-person': JSON.stringify(person) } })
    for (const line of answer.headers.getSetCookie()) {
      const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(line) ?? []
      cookies.set(name, value)
    }
    const place = answer.headers.get('location')
    if (place === null) throw new Error(`the provider answered ${answer.status}: ${(await answer.text()).slice(0, 500)}`)
    url = new URL(place, url).href
    if (url.startsWith(back)) return url.slice(back.length + 1)
  }
  throw new Error('the provider sent the browser around in circles')
}
