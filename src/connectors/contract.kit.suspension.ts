import { expect, test } from 'vitest'
import { newId } from '../kernel/index.ts'
import { type Bench, expectCode, freshSecret, type InBench, outcome, settle } from './contract.kit.bench.ts'
import { HOSTILE_ACCOUNTS, type LabProxy } from './contract.kit.lab.ts'
import type { Logins, Suspension, Target } from './contract.ts'

/** A target that can do it: the four calls come together with the declaration. */
interface Suspending extends Target {
  suspend(...given: Parameters<NonNullable<Target['suspend']>>): Promise<void>
  resume(...given: Parameters<NonNullable<Target['resume']>>): Promise<void>
  destroy(...given: Parameters<NonNullable<Target['destroy']>>): Promise<void>
  logins(...given: Parameters<NonNullable<Target['logins']>>): Promise<Logins>
}

function able(target: Target): Suspending {
  const { suspend, resume, destroy, logins } = target
  expect([suspend, resume, destroy, logins].map((call) => typeof call)).toEqual(['function', 'function', 'function', 'function'])
  return target as Suspending
}

/** The end of an account's logins, for a while and for good. Nothing is tried where the connector declares nothing. */
export function describeSuspension(bench: InBench): void {
  const when = (use: (b: Bench, how: Suspension) => Promise<void>) =>
    bench(async (b) => {
      const { suspension } = b.lab.connector.describe()
      if (suspension !== null) return use(b, suspension)
      expect(b.open().suspend, 'what is not declared is not there').toBeUndefined()
    })

  test(
    'suspended: the right value is answered about the account, sessions end, and resumed it is the same value; twice is harmless',
    when(async (b, how) => {
      const secret = freshSecret()
      const account = await b.account(secret)
      const bystander = freshSecret()
      const other = await b.account(bystander)
      const target = able(b.open())
      const session = await b.lab.openSession(account, secret, 'consumer')
      try {
        for (let twice = 0; twice < 2; twice++) await target.suspend(b.ctx, account)
        expect(await target.logins(b.ctx, account)).toEqual({ exists: true, open: false })
        await target.endSessions(b.ctx, account)
        expect(await target.sessions(b.ctx, account)).toEqual([])
        expect(await session.alive()).toBe(false)
      } finally {
        await session.close()
      }
      const probe = await target.probe(b.ctx, account, secret)
      expect(probe.outcome).not.toBe('accepted')
      expect(how.answers).toContain(probe.code)
      const { root } = b.lab
      expect(await outcome(b, target, { account: root.account, secret: root.secret }), 'control').toBe('accepted')
      expect(await outcome(b, target, { account: other, secret: bystander }), 'bystander').toBe('accepted')
      for (let twice = 0; twice < 2; twice++) await target.resume(b.ctx, account)
      expect(await target.logins(b.ctx, account)).toEqual({ exists: true, open: true })
      expect(await outcome(b, target, { account, secret })).toBe('accepted')
    }),
  )

  test(
    'destroyed: the value is refused and stays so when the account is opened again; rights stay; twice is harmless',
    when(async (b) => {
      const secret = freshSecret()
      const account = await b.account(secret)
      const target = able(b.open())
      const grants = async () => (await target.listGrants(b.ctx, account)).filter((grant) => grant !== 'attribute login')
      const before = await grants()
      for (let twice = 0; twice < 2; twice++) await target.destroy(b.ctx, account)
      expect(await target.logins(b.ctx, account)).toEqual({ exists: true, open: false })
      expect(await outcome(b, target, { account, secret })).not.toBe('accepted')
      expect(await grants()).toEqual(before)
      await target.resume(b.ctx, account)
      expect(await outcome(b, target, { account, secret })).toBe('refused')
      expect(await outcome(b, target, { account, secret: freshSecret() })).toBe('refused')
    }),
  )

  describeStrange(when)
  describeLost(when)
}

/** Accounts that are not there, and names as an attacker would choose them. */
function describeStrange(when: (use: (b: Bench) => Promise<void>) => () => Promise<void>): void {
  test(
    'an account that does not exist is a conflict and is not created',
    when(async (b) => {
      const target = able(b.open())
      expect((await target.logins(b.ctx, 'nobody_here')).exists).toBe(false)
      await expectCode(target.suspend(b.ctx, 'nobody_here'), 'target_conflict')
      await expectCode(target.resume(b.ctx, 'nobody_here'), 'target_conflict')
      await expectCode(target.destroy(b.ctx, 'nobody_here'), 'target_conflict')
      expect((await target.discover(b.ctx)).map((each) => each.name)).not.toContain('nobody_here')
    }),
  )

  test(
    'hostile account names are suspended like others and touch nothing else',
    when(async (b) => {
      const bystander = freshSecret()
      const other = await b.account(bystander, `s_${newId().slice(-8)}`)
      const target = able(b.open())
      const { impossibleAccounts: impossible, elsewhereAccounts: elsewhere = [] } = b.lab
      for (const base of HOSTILE_ACCOUNTS.filter((name) => !impossible.includes(name) && !elsewhere.includes(name))) {
        const account = Buffer.byteLength(base) > 60 ? `${base.slice(0, -1)}s` : `s${base}`
        const secret = freshSecret()
        await b.account(secret, account)
        await target.suspend(b.ctx, account)
        expect((await target.logins(b.ctx, account)).open, JSON.stringify(account)).toBe(false)
        await target.resume(b.ctx, account)
        expect(await outcome(b, target, { account, secret }), JSON.stringify(account)).toBe('accepted')
        await target.destroy(b.ctx, account)
        expect(await outcome(b, target, { account, secret }), JSON.stringify(account)).not.toBe('accepted')
      }
      expect(await outcome(b, target, { account: other, secret: bystander })).toBe('accepted')
    }),
  )
}

/** A path that loses the reply, and one that is cut. */
function describeLost(when: (use: (b: Bench) => Promise<void>) => () => Promise<void>): void {
  const behindProxy = (
    use: (b: Bench, proxy: LabProxy, target: Suspending, one: { account: string; secret: ReturnType<typeof freshSecret> }) => Promise<void>,
  ) =>
    when(async (b) => {
      const proxy = await b.lab.startProxy()
      try {
        const address = { ...b.lab.address, host: '127.0.0.1', port: proxy.port }
        const secret = freshSecret()
        await use(b, proxy, able(b.open({ address, timeoutMs: 1000 })), { account: await b.account(secret), secret })
      } finally {
        await proxy.stop()
      }
    })

  test(
    'a lost reply is unreachable, the account is stopped all the same, and to say it again is harmless',
    behindProxy(async (b, proxy, target, { account, secret }) => {
      for (const call of ['suspend', 'resume', 'destroy'] as const) {
        proxy.cutAfterRequest(b.lab.installMarker)
        await expectCode(target[call](b.ctx, account), 'target_unreachable', [secret, b.lab.root.secret])
        const wanted = call === 'resume'
        expect(await settle(async () => (await target.logins(b.ctx, account)).open, wanted), call).toBe(wanted)
        await target[call](b.ctx, account)
        expect((await target.logins(b.ctx, account)).open, call).toBe(wanted)
      }
      expect(await outcome(b, target, { account, secret })).not.toBe('accepted')
    }),
  )

  test(
    'a system that is down is unreachable, nothing is claimed, and it is used again when it is back',
    behindProxy(async (b, proxy, target, { account, secret }) => {
      proxy.refuse()
      for (const call of ['suspend', 'resume', 'destroy', 'logins'] as const) {
        await expectCode(target[call](b.ctx, account), 'target_unreachable', [secret, b.lab.root.secret])
      }
      proxy.heal()
      await target.suspend(b.ctx, account)
      expect((await target.logins(b.ctx, account)).open).toBe(false)
    }),
  )
}
