import { expect, test } from 'vitest'
import { makeCtx } from '../kernel/index.ts'
import { NO_ACCOUNT } from './account.ts'
import { expectCode, freshSecret, type InBench, outcome, SLACK_MS } from './contract.kit.bench.ts'

const SHORT_MS = 400

/** Names and accounts that are not there. */
export function describeNames(bench: InBench): void {
  test(
    'refuses names that cannot be accounts, before any call',
    bench(async ({ lab }) => {
      for (const name of ['', 'nul\0byte', 'x'.repeat(5000), ...lab.impossibleAccounts]) {
        expect(() => lab.connector.checkAccount(name), JSON.stringify(name)).toThrow(expect.objectContaining({ code: 'bad_input' }))
      }
    }),
  )

  test(
    'an account that does not exist is a conflict and is not created',
    bench(async (b) => {
      const target = b.open()
      const strategy = b.lab.connector.describe().strategies[0] ?? 'in-place'
      const order = { account: 'nobody_here', strategy, secret: freshSecret(), current: null }
      const error = await expectCode(target.install(b.ctx, order), 'target_conflict', [order.secret])
      expect(error).toMatchObject({ message: NO_ACCOUNT.message, hint: NO_ACCOUNT.hint })
      expect((await target.discover(b.ctx)).map((account) => account.name)).not.toContain('nobody_here')
    }),
  )
}

/** The truth table of probes. */
export function describeProbe(bench: InBench): void {
  test(
    'probe: accepted, refused, unreachable',
    bench(async (b) => {
      const secret = freshSecret()
      const account = await b.account(secret)
      const target = b.open()
      expect(await outcome(b, target, { account, secret })).toBe('accepted')
      expect(await outcome(b, target, { account, secret: freshSecret() })).toBe('refused')
      const closed = b.open({ address: { ...b.lab.address, port: await b.lab.closedPort() } })
      expect(await outcome(b, closed, { account, secret })).toBe('unreachable')
    }),
  )

  test(
    'probe: a port that accepts and never answers is unreachable, in time',
    bench(async (b) => {
      const silent = await b.lab.startSilent()
      try {
        const target = b.open({ address: { ...b.lab.address, port: silent.port }, timeoutMs: SHORT_MS })
        const began = b.ctx.clock.monotonicMs()
        expect(await outcome(b, target, { account: 'any', secret: freshSecret() })).toBe('unreachable')
        expect(b.ctx.clock.monotonicMs() - began).toBeLessThan(SHORT_MS + SLACK_MS)
        await expectCode(target.discover(b.ctx), 'target_unreachable', [b.lab.root.secret])
      } finally {
        await silent.stop()
      }
    }),
  )

  test(
    'probe: an answer that says nothing of the value is inconclusive',
    bench(async (b) => {
      for (const disturbance of b.lab.disturbances) {
        const secret = freshSecret()
        const account = await b.account(secret)
        const target = b.open()
        const end = await disturbance.begin(account)
        try {
          expect(await outcome(b, target, { account, secret }), disturbance.name).toBe('inconclusive')
          expect(await outcome(b, target, { account, secret: freshSecret() }), disturbance.name).not.toBe('accepted')
        } finally {
          await end()
        }
        expect(await outcome(b, target, { account, secret }), `after ${disturbance.name}`).toBe('accepted')
      }
    }),
  )

  test(
    'probe: neither works nor rejects once nobody waits for it',
    bench(async (b) => {
      const stop = new AbortController()
      const ctx = makeCtx('test', 'kit', { signal: stop.signal })
      stop.abort()
      const probe = await b.open().probe(ctx, 'any', freshSecret())
      expect(['unreachable', 'inconclusive']).toContain(probe.outcome)
    }),
  )
}

/** The root credential: wrong, doubtful, rotated. */
export function describeRoot(bench: InBench): void {
  test(
    'a wrong root credential is not authorised; a list of old and new is tried in order',
    bench(async (b) => {
      const wrong = freshSecret()
      const secrets = [wrong, b.lab.root.secret]
      await expectCode(b.open({ rootSecrets: [wrong] }).discover(b.ctx), 'target_not_authorised', secrets)
      await expect(b.open({ rootSecrets: secrets }).discover(b.ctx)).resolves.toBeInstanceOf(Array)
      await expect(b.open({ rootSecrets: [b.lab.root.secret, wrong] }).discover(b.ctx)).resolves.toBeInstanceOf(Array)
    }),
  )

  test(
    'root itself is rotated, by a target that goes on with the new value',
    bench(async (b) => {
      const next = freshSecret()
      const { rootStrategy: strategy } = b.lab.connector.describe()
      const target = b.open({ rootSecrets: [b.lab.root.secret, next] })
      const account = b.lab.root.account
      try {
        await target.install(b.ctx, { account, strategy, secret: next, current: b.lab.root.secret })
        expect(await outcome(b, target, { account, secret: next })).toBe('accepted')
        await target.discover(b.ctx)
        await target.forgetRoot(b.spec({ rootSecrets: [next] }))
        await target.retire(b.ctx, { strategy, account, old: b.lab.root.secret, keep: next })
        expect(await outcome(b, target, { account, secret: b.lab.root.secret })).toBe('refused')
        await target.discover(b.ctx)
        await expectCode(b.open().discover(b.ctx), 'target_not_authorised', [next, b.lab.root.secret])
      } finally {
        await b.lab.setRootSecret(b.lab.root.secret)
      }
    }),
  )
}

/** Accounts and their rights. */
export function describeListing(bench: InBench): void {
  test(
    'discovers accounts and lists what they may do, without their own name',
    bench(async (b) => {
      const [one, two] = [await b.account(freshSecret()), await b.account(freshSecret())]
      const target = b.open()
      const found = await target.discover(b.ctx)
      expect(found).toContainEqual({ name: one, canLogin: true })
      expect(found).toContainEqual({ name: two, canLogin: true })
      if (!b.lab.connector.describe().canListGrants) return
      const grants = await target.listGrants(b.ctx, one)
      expect(grants).toEqual([...grants].sort())
      expect(grants.join('\n')).not.toContain(one)
      expect(await target.listGrants(b.ctx, two), 'twins have equal rights').toEqual(grants)
    }),
  )
}
