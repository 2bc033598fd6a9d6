/** What others name is connected to at the very address that was looked at, and nowhere else. */
import { createServer, type Server } from 'node:http'
import { type AddressInfo, isIP } from 'node:net'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { AddressGuard, type Ctx, makeCtx, RekeyError, silentLog } from '../kernel/index.ts'
import { FetchFailed, fetchObject } from './issuer.fetch.ts'
import { keysAddress } from './issuer.keys.ts'
import { OidcClients } from './login/index.ts'

/** Believes a name, and no address: as if the name pointed elsewhere a moment later. */
class Rebound extends AddressGuard {
  override async check(host: string): Promise<void> {
    if (isIP(host) !== 0) throw new RekeyError('target_unsupported', 'not there')
  }
}

const ctx: Ctx = makeCtx('test', 'test', { log: silentLog })
let server: Server
let port = 0
let asked: string[] = []
beforeAll(async () => {
  server = createServer((request, answer) => {
    asked.push(request.url ?? '')
    const issuer = `http://localhost:${port}`
    const ends = { authorization_endpoint: `${issuer}/a`, token_endpoint: `${issuer}/t`, jwks_uri: `${issuer}/jwks` }
    answer.setHeader('content-type', 'application/json')
    answer.end(JSON.stringify({ issuer, ...ends, response_types_supported: ['code'], subject_types_supported: ['public'], keys: [] }))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  port = (server.address() as AddressInfo).port
})
afterAll(() => new Promise((resolve) => server.close(resolve)))
beforeEach(() => {
  asked = []
})

const provider = () => ({
  id: 'x',
  name: 'corp',
  issuer: `http://localhost:${port}`,
  client_id: 'rekey',
  auth: 'none' as const,
  kek_id: null,
  wrapped_key: null,
  sealed: null,
  scopes: 'openid',
  acr: {},
  amr: {},
  aal: 1 as const,
  max_age_seconds: 60,
  link_by_email: false,
})
const clients = (guard: AddressGuard) => new OidcClients(null as never, guard)

test('a login provider is asked at the address that the guard let through', async () => {
  expect(await clients(new AddressGuard()).probe(ctx, provider(), null)).toBe(provider().issuer)
  expect(asked).toEqual(['/.well-known/openid-configuration'])
  await expect(clients(new Rebound()).probe(ctx, provider(), null)).rejects.toMatchObject({ code: 'unavailable' })
  expect(asked, 'nothing was sent to an address that the guard refuses').toHaveLength(1)
})

test('so is an issuer of keys', async () => {
  expect(await fetchObject(new AddressGuard(), `http://localhost:${port}/x`)).toMatchObject({ keys: [] })
  await expect(fetchObject(new Rebound(), `http://localhost:${port}/x`)).rejects.toBeInstanceOf(FetchFailed)
  expect(asked).toEqual(['/x'])
})

test('an issuer elsewhere does not send us to what listens on this machine', () => {
  const of = (issuer: string, jwks_uri: unknown) => () => keysAddress(issuer, { issuer, jwks_uri })
  for (const address of [`http://localhost:${port}/jwks`, 'HTTP://127.0.0.1/x', '\thttp://[::1]/x']) {
    expect(of('https://issuer.example', address)).toThrow('the address of the keys is not https')
    expect(of('http://127.0.0.1:1', address)()).toBe(address)
  }
  expect(of('https://issuer.example', 'https://keys.example/x')()).toBe('https://keys.example/x')
  for (const none of [undefined, 7, 'nowhere']) expect(of('https://issuer.example', none)).toThrow(FetchFailed)
})
