/** Issuers of signed tokens: a real HTTP server with real keys, and tokens in exactly the shapes of the systems that they stand for. */

import type { webcrypto } from 'node:crypto'
import { createServer, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { exportJWK, generateKeyPair, type JWK, SignJWT } from 'jose'
import Provider from 'oidc-provider'
import { newId } from '../../src/kernel/index.ts'

export interface LabKey {
  readonly kid: string
  readonly alg: string
  readonly privateKey: webcrypto.CryptoKey
  readonly publicJwk: JWK
}

export async function labKey(alg = 'RS256', kid = newId(), use: string | null = 'sig'): Promise<LabKey> {
  const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true })
  return { kid, alg, privateKey, publicJwk: { ...(await exportJWK(publicKey)), kid, ...(use === null ? {} : { use }) } }
}

export type Mode = 'good' | 'garbage' | 'silent' | 'trickle' | 'huge' | 'failing' | 'redirect' | 'metadata'

export class LabIssuer {
  readonly url: string
  readonly #server: Server
  keys: LabKey[]
  mode: Mode = 'good'
  /** Requests for each path. */
  readonly asked = { discovery: 0, jwks: 0, elsewhere: 0 }

  private constructor(server: Server, keys: LabKey[]) {
    this.#server = server
    this.keys = keys
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  }

  static async start(keys?: LabKey[]): Promise<LabIssuer> {
    let lab: LabIssuer | null = null
    const server = createServer((request, answer) => lab?.answer(request.url ?? '', answer))
    await new Promise<void>((ready) => server.listen(0, '127.0.0.1', ready))
    lab = new LabIssuer(server, keys ?? [await labKey()])
    return lab
  }

  answer(path: string, answer: ServerResponse): void {
    if (path === '/jwks' || path === '/bundle') this.asked.jwks++
    else if (path === '/.well-known/openid-configuration') this.asked.discovery++
    else this.asked.elsewhere++
    if (this.mode === 'silent') return
    if (this.mode === 'trickle') return void trickle(answer)
    if (this.mode === 'failing') return void answer.writeHead(500).end('{}')
    if (this.mode === 'garbage') return void answer.end('<html>not keys</html>')
    if (this.mode === 'huge') return void answer.end(JSON.stringify({ keys: [], pad: 'x'.repeat(300 * 1024) }))
    if (this.mode === 'redirect') return void answer.writeHead(302, { location: 'http://169.254.169.254/latest/meta-data/' }).end()
    const jwks_uri = this.mode === 'metadata' ? 'http://169.254.169.254/jwks' : `${this.url}/jwks`
    const body = path.startsWith('/.well-known') ? { issuer: this.url, jwks_uri } : this.jwks()
    answer.setHeader('content-type', 'application/json').end(JSON.stringify(body))
  }

  jwks(): { keys: JWK[] } {
    return { keys: this.keys.map(({ publicJwk }) => publicJwk) }
  }

  /** Signed with the first key. `header` replaces what would be there; undefined leaves a member out. */
  async sign(claims: Record<string, unknown>, header: Record<string, unknown> = {}, key = this.keys[0]): Promise<string> {
    if (key === undefined) throw new Error('the issuer has no key')
    const all = { alg: key.alg, kid: key.kid, typ: 'JWT', ...header }
    const present = Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined))
    return new SignJWT(claims).setProtectedHeader(present as { alg: string }).sign(key.privateKey)
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise((closed) => this.#server.close(closed))
  }
}

/** A byte now and then: each arrives in time, the whole never. */
function trickle(answer: ServerResponse): void {
  const timer = setInterval(() => answer.write(' '), 100)
  answer.on('close', () => clearInterval(timer))
}

/** Claims of a Kubernetes service account token that is bound to a pod, as the API server of 1.30 issues them. */
export function kubernetesClaims(issuer: string, audience: string, atSeconds: number): Record<string, unknown> {
  return {
    aud: [audience],
    exp: atSeconds + 3_607,
    iat: atSeconds,
    iss: issuer,
    jti: newId(),
    'kubernetes.io': {
      namespace: 'orders',
      node: { name: 'node-1', uid: '3c8a2f55-0a06-4a4e-a3b5-7c1a2a7f6c11' },
      pod: { name: 'orders-api-7d9c-x2x', uid: 'b4c4a5c2-5f0d-4f7e-9c58-2a8f5a0c7d3e' },
      serviceaccount: { name: 'orders-api', uid: '14ee3fa4-a7e2-420f-9f9a-dbc4507c3798' },
      warnafter: atSeconds + 3_607,
    },
    nbf: atSeconds,
    sub: 'system:serviceaccount:orders:orders-api',
  }
}

/** Claims of a job's token as GitHub Actions issues them. */
export function ciClaims(issuer: string, audience: string, atSeconds: number): Record<string, unknown> {
  return {
    jti: newId(),
    sub: 'repo:acme/shop:environment:prod',
    environment: 'prod',
    aud: audience,
    ref: 'refs/heads/main',
    sha: '6113728f27ae82c7b1a177c8d03f9e96e0adf246',
    repository: 'acme/shop',
    repository_owner: 'acme',
    actor_id: '12',
    repository_visibility: 'private',
    repository_id: '74',
    repository_owner_id: '65',
    run_id: '1658821493',
    run_number: '10',
    run_attempt: '2',
    runner_environment: 'github-hosted',
    actor: 'octocat',
    workflow: 'deploy',
    head_ref: '',
    base_ref: '',
    event_name: 'push',
    ref_type: 'branch',
    job_workflow_ref: 'acme/automation/.github/workflows/deploy.yml@refs/heads/main',
    iss: issuer,
    nbf: atSeconds - 5,
    exp: atSeconds + 300,
    iat: atSeconds,
  }
}

/** Claims of a JWT-SVID as SPIRE issues them. */
export function svidClaims(audience: string, atSeconds: number): Record<string, unknown> {
  return { aud: [audience], exp: atSeconds + 300, iat: atSeconds, sub: 'spiffe://example.org/ns/orders/sa/api' }
}

/** A real OpenID provider, at which one client gets tokens for resources that are named to it (RFC 8707, RFC 9068). */
export async function startProvider(
  audience: string,
): Promise<{ url: string; token(resource?: string): Promise<string>; stop(): Promise<void> }> {
  const server = createServer()
  await new Promise<void>((ready) => server.listen(0, '127.0.0.1', ready))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const { privateKey } = await generateKeyPair('RS256', { extractable: true })
  const client_secret = newId()
  const provider = new Provider(url, {
    clients: [{ client_id: 'orders-client', client_secret, grant_types: ['client_credentials'], redirect_uris: [], response_types: [] }],
    jwks: { keys: [{ ...(await exportJWK(privateKey)), use: 'sig', alg: 'RS256', kid: newId() }] as never },
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (_ctx, resource) => ({ scope: 'rekey', audience: resource, accessTokenFormat: 'jwt', accessTokenTTL: 120 }),
        defaultResource: () => audience,
      },
    },
    extraTokenClaims: () => ({}),
  })
  server.on('request', provider.callback())
  const token = async (resource = audience) => {
    const body = new URLSearchParams({ grant_type: 'client_credentials', resource, scope: 'rekey' })
    const authorization = `Basic ${Buffer.from(`orders-client:${client_secret}`).toString('base64')}`
    const answer = await fetch(`${url}/token`, { method: 'POST', body, headers: { authorization } })
    const { access_token } = (await answer.json()) as { access_token?: string }
    if (access_token === undefined) throw new Error(`the provider gave no token (${answer.status})`)
    return access_token
  }
  const stop = async () => {
    server.closeAllConnections()
    await new Promise((closed) => server.close(closed))
  }
  return { url, token, stop }
}

/** What an administrator says of an issuer whose keys come with it. */
export function inlineIssuer(publicJwk: JWK) {
  return {
    name: 'ci',
    type: 'ci',
    origin: 'https://ci.example.com',
    audience: 'rekey',
    keys: { from: 'inline', jwks: { keys: [publicJwk] } as never },
    algorithms: ['ES256'],
  } as const
}
