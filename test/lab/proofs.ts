/** For tests of signed tokens: an issuer, a clock that can be put forward, and the ways in which a token is shown. */
import { afterEach, beforeEach } from 'vitest'
import { authenticateBearer } from '../../src/identity/bearer.ts'
import { addIssuer, type IssuerInput, mapIssuer, putIdentities, type RuleInput, TokenUses } from '../../src/identity/index.ts'
import { IssuerKeys } from '../../src/identity/issuer.keys.ts'
import type { Presented } from '../../src/identity/workload.dpop.ts'
import { AddressGuard, type Log, makeCtx, Secret } from '../../src/kernel/index.ts'
import type { Principal } from '../../src/policy/index.ts'
import { allowed, permitted, principal } from '../../src/policy/testing.ts'
import { freshDatabase, type TestDatabase } from './database.ts'
import { LabIssuer } from './issuer.ts'

export const AUDIENCE = 'https://rekey.example'
export const HERE = 'http://127.0.0.1:7395'
export let db: TestDatabase
export let lab: LabIssuer
export let keys: IssuerKeys
let uses: TokenUses
let aheadMs: number
/** Puts the clock forward. */
export function ahead(ms: number): void {
  aheadMs += ms
}
export let logged: string[]
/** A clock that a test can put forward. */
export const clock = { now: () => new Date(Date.now() + aheadMs), monotonicMs: () => performance.now() + aheadMs }
const write = (fields: Record<string, unknown>, message: string) => void logged.push(`${message} ${JSON.stringify(fields)}`)
const log: Log = { info: write, warn: write, error: write }
export const ctx = makeCtx('test', 'workload', { clock, log })
export const may = allowed(ctx, 'issuer:configure')
export const at = () => Math.floor(clock.now().getTime() / 1000)

/** Gives each test of a file a database, an issuer and a clock of its own. */
export function setUp(): void {
  beforeEach(async () => {
    aheadMs = 0
    logged = []
    db = await freshDatabase()
    lab = await LabIssuer.start()
    keys = new IssuerKeys(new AddressGuard())
    uses = new TokenUses(db.store, ctx)
  })
  afterEach(async () => {
    await uses.close()
    await lab.stop()
    await db.drop()
  })
}

export const show = (text: string, more: Partial<Presented> = {}): Promise<Principal | null> => {
  const presented: Presented = {
    token: Secret.fromText(text),
    scheme: 'bearer',
    proof: null,
    holder: null,
    method: 'GET',
    path: '/v1/x',
    origins: [HERE],
    ...more,
  }
  return authenticateBearer({ store: db.store, keys, uses }, ctx, presented)
}
export const trust = (input: Partial<IssuerInput> = {}) =>
  addIssuer(db.store, ctx, may, principal(), {
    name: 'ci',
    type: 'oidc',
    origin: lab.url,
    audience: AUDIENCE,
    keys: { from: 'discovery' },
    ...input,
  })
export const map = (input: Partial<RuleInput>) =>
  mapIssuer(db.store, ctx, may, principal(), {
    issuer: 'ci',
    identity: 'orders-api',
    part: 'subject',
    claims: { sub: 'orders' },
    prefixes: {},
    scope: null,
    environments: null,
    actsFor: null,
    hardware: false,
    ...input,
  })
export const join = async (name: string, kind: 'human' | 'workload' | 'machine' | 'agent') => {
  const fields = { name, kind, owner: 'team', purpose: 'tests', environment: 'test' }
  return (await db.store.inTx((tx) => putIdentities(tx, ctx, permitted(ctx), [fields]))).get(name) ?? ''
}
export const claims = (more: Record<string, unknown> = {}) => ({
  iss: lab.url,
  sub: 'orders',
  aud: AUDIENCE,
  iat: at(),
  exp: at() + 300,
  ...more,
})
export const why = () => logged.filter((line) => line.includes('refused')).map((line) => /"why":"([^"]*)"/.exec(line)?.[1])

/** The usual: one workload, one rule for its `sub`. */
export async function usual(input: Partial<IssuerInput> = {}): Promise<string> {
  const id = await join('orders-api', 'workload')
  await trust({ replay: 'age', ...input })
  await map({})
  return id
}

/** The issuer starts again, with another key and at another address. */
export async function anotherLab(): Promise<void> {
  lab = await LabIssuer.start()
}
