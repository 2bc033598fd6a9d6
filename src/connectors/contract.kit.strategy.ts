import { expect, test } from 'vitest'
import { makeCtx, newId, sleep } from '../kernel/index.ts'
import {
  type Bench,
  expectCode,
  freshSecret,
  type InStrategy,
  type Move,
  makeMove,
  outcome,
  retire,
  SLACK_MS,
  settle,
} from './contract.kit.bench.ts'
import { HOSTILE_ACCOUNTS, type LabProxy } from './contract.kit.lab.ts'
import type { Target } from './contract.ts'

/** The old dies, the new lives, and nothing else happens. */
export function describeMove(when: InStrategy): void {
  test(
    'the new lives, the old dies; every call twice is harmless',
    when(async (b, strategy) => {
      const move = await makeMove(b, strategy)
      const target = b.open()
      for (let twice = 0; twice < 2; twice++) {
        const { mark } = await target.install(b.ctx, move.order)
        expect(mark).not.toBe('')
        expect(await outcome(b, target, move.next)).toBe('accepted')
        expect(await outcome(b, target, move.old)).toBe(strategy === 'in-place' ? 'refused' : 'accepted')
      }
      for (let twice = 0; twice < 2; twice++) {
        await retire(b, target, move)
        await sleep(b.lab.connector.describe().revocationLatencyMs)
        expect(await outcome(b, target, move.next), 'control').toBe('accepted')
        expect(await outcome(b, target, move.old)).toBe('refused')
      }
    }),
  )

  test(
    'a takeover: the old value is unknown and dies all the same',
    when(async (b, strategy) => {
      const move = await makeMove(b, strategy)
      const target = b.open()
      await target.install(b.ctx, { ...move.order, current: null })
      const keep = strategy === 'alternating' ? null : move.next.secret
      await target.retire(b.ctx, { strategy, account: move.old.account, old: null, keep })
      expect(await outcome(b, target, move.next)).toBe('accepted')
      expect(await outcome(b, target, move.old)).toBe('refused')
    }),
  )

  describeHostile(when)
}

/** Hostile names, refused values, and what is left behind. */
function describeHostile(when: InStrategy): void {
  test(
    'hostile account names are rotated like others and touch nothing else',
    when(async (b, strategy) => {
      const secret = freshSecret()
      const bystander = { account: await b.account(secret, strategy === 'in-place' ? 'x' : `x_${newId().slice(-8)}`), secret }
      const target = b.open()
      for (const base of HOSTILE_ACCOUNTS.filter(
        (each) => !b.lab.impossibleAccounts.includes(each) && !b.lab.elsewhereAccounts?.includes(each),
      )) {
        b.lab.connector.checkAccount(base)
        // Each strategy has its own spelling of the name, since the accounts of all live on one system.
        const name = Buffer.byteLength(base) > 60 ? base.slice(0, -1) + strategy.slice(0, 1) : `${strategy.slice(0, 1)}${base}`
        const move = await makeMove(b, strategy, name)
        await target.install(b.ctx, move.order)
        await retire(b, target, move)
        expect(await outcome(b, target, move.next), JSON.stringify(name)).toBe('accepted')
        expect(await outcome(b, target, move.old), JSON.stringify(name)).toBe('refused')
        expect(await target.sessions(b.ctx, name)).toEqual([])
      }
      expect(await outcome(b, target, bystander)).toBe('accepted')
    }),
  )

  test(
    'a value that the policy refuses changes nothing and leaks nothing',
    when(async (b, strategy) => {
      for (const refusal of b.lab.refusals) {
        const { account, secret, end } = await refusal.begin()
        try {
          await expectCode(b.open().install(b.ctx, { account, strategy, secret, current: null }), 'target_refused_by_policy')
          expect(await outcome(b, b.open(), { account, secret }), refusal.name).toBe('refused')
        } finally {
          await end()
        }
      }
    }),
  )

  test(
    'fifty installs leave no connection behind',
    when(async (b, strategy) => {
      const move = await makeMove(b, strategy)
      const before = await settle(b.lab.countConnections, 0)
      const target = b.open()
      for (let batch = 0; batch < 10; batch++) {
        await Promise.all([0, 1, 2, 3].map(() => target.probe(b.ctx, move.next.account, move.next.secret)))
        for (let i = 0; i < 5; i++) await target.install(b.ctx, move.order)
      }
      expect(await settle(async () => (await b.lab.countConnections()) <= before + 4, true)).toBe(true)
      await target.close()
      expect(await settle(b.lab.countConnections, before)).toBe(before)
    }),
  )
}

/** Marks, and the end of sessions. */
export function describeSessions(when: InStrategy): void {
  test(
    'sessions are told apart by the mark; those of the old are ended and stay ended',
    when(async (b, strategy) => {
      const move = await makeMove(b, strategy)
      const account = move.old.account
      const target = b.open()
      const early = await b.lab.openSession(account, move.old.secret, 'early')
      const { mark } = await target.install(b.ctx, move.order)
      await target.probe(b.ctx, account, move.next.secret)
      const { account: lateAccount, secret } = move.next
      const late = await b.lab.openSession(lateAccount, secret, 'late')
      try {
        const names = async (of: string, where?: { before?: string; after?: string }) =>
          (await target.sessions(b.ctx, of, where)).map((session) => session.application ?? '-').sort()
        const named = (...names: string[]) =>
          b.lab.connector.describe().sessionNamesConsumer ? names : names.map(() => expect.any(String))
        expect(await names(account, { before: mark })).toEqual(named('early'))
        expect(await names(lateAccount, { after: mark })).toEqual(named('late'))
        if (account === lateAccount) expect(await names(account)).toEqual(named('early', 'late'))
        if (!b.lab.connector.describe().canEndSessions) return
        expect(await early.alive()).toBe(true)
        expect(await target.endSessions(b.ctx, account, mark)).toBe(1)
        expect([await early.alive(), await late.alive()]).toEqual([false, true])
        expect(await names(account, { before: mark })).toEqual([])
        expect(await target.endSessions(b.ctx, account, mark)).toBe(0)
        expect(await target.endSessions(b.ctx, lateAccount)).toBe(1)
        expect(await late.alive()).toBe(false)
      } finally {
        await Promise.all([early.close(), late.close()])
      }
    }),
  )
}

type BehindProxy = (use: (b: Bench, proxy: LabProxy, target: Target, move: Move) => Promise<void>) => () => Promise<void>

/** A case on a path that can be made to misbehave, with a second for each call. */
function withProxy(when: InStrategy): BehindProxy {
  return (use) =>
    when(async (b, strategy) => {
      const proxy = await b.lab.startProxy()
      try {
        const address = { ...b.lab.address, host: '127.0.0.1', port: proxy.port }
        await use(b, proxy, b.open({ address, timeoutMs: 1000 }), await makeMove(b, strategy))
      } finally {
        await proxy.stop()
      }
    })
}

/** A path that holds a change back until Rekey has gone on without it. */
export function describeLate(when: InStrategy): void {
  const behindProxy = withProxy(when)

  test(
    'a change that comes after it was given up is not made',
    behindProxy(async (b, proxy, target, move) => {
      const deliver = proxy.holdRequest(b.lab.installMarker)
      await expectCode(target.install(b.ctx, move.order), 'target_unreachable')
      await target.install(b.ctx, move.order)
      await retire(b, target, move)
      const { account, secret } = move.next
      const third = { account, secret: freshSecret() }
      const { strategy } = move.order
      await target.install(b.ctx, { account, strategy, secret: third.secret, current: secret })
      // Of a pair the other account is retired already, and this one must not be.
      if (move.old.account === account) await retire(b, target, { ...move, old: move.next, next: third })
      await deliver()
      expect(await outcome(b, target, third)).toBe('accepted')
      expect(await outcome(b, target, move.next)).toBe('refused')
      expect(await outcome(b, target, move.old)).toBe('refused')
    }),
  )
}

/** A path that loses, delays or cuts. */
export function describeFaults(when: InStrategy): void {
  const behindProxy = withProxy(when)

  test(
    'a lost reply is unreachable, the value is there, and installing again is harmless',
    behindProxy(async (b, proxy, target, move) => {
      proxy.cutAfterRequest(b.lab.installMarker)
      const secrets = [move.next.secret, move.old.secret, b.lab.root.secret]
      await expectCode(target.install(b.ctx, move.order), 'target_unreachable', secrets)
      expect(await settle(() => outcome(b, target, move.next), 'accepted')).toBe('accepted')
      await target.install(b.ctx, move.order)
      await retire(b, target, move)
      expect(await outcome(b, target, move.next)).toBe('accepted')
      expect(await outcome(b, target, move.old)).toBe('refused')
    }),
  )

  test(
    'a slow system is given up in time, and used again when it recovers',
    behindProxy(async (b, proxy, target, move) => {
      await target.discover(b.ctx)
      proxy.delay(4000)
      const began = b.ctx.clock.monotonicMs()
      await expectCode(target.install(b.ctx, move.order), 'target_unreachable', [move.next.secret, b.lab.root.secret])
      expect(await outcome(b, target, move.next)).toBe('unreachable')
      expect(b.ctx.clock.monotonicMs() - began).toBeLessThan(2 * 1000 + SLACK_MS)
      proxy.heal()
      await target.install(b.ctx, move.order)
      expect(await outcome(b, target, move.next)).toBe('accepted')
    }),
  )

  test(
    'a call ends when nobody waits for it any more',
    behindProxy(async (b, proxy, target, move) => {
      await target.discover(b.ctx)
      proxy.delay(4000)
      const stop = new AbortController()
      const began = b.ctx.clock.monotonicMs()
      const install = target.install(makeCtx('test', 'kit', { signal: stop.signal }), move.order)
      const done = expectCode(install, 'target_unreachable', [move.next.secret])
      stop.abort()
      await done
      expect(b.ctx.clock.monotonicMs() - began).toBeLessThan(900)
    }),
  )

  test(
    'a system that is down is unreachable, and is used again when it is back',
    behindProxy(async (b, proxy, target, move) => {
      await target.discover(b.ctx)
      proxy.refuse()
      await expectCode(target.install(b.ctx, move.order), 'target_unreachable', [move.next.secret, b.lab.root.secret])
      expect(await outcome(b, target, move.next)).toBe('unreachable')
      proxy.heal()
      await target.install(b.ctx, move.order)
      expect(await outcome(b, target, move.next)).toBe('accepted')
    }),
  )
}
