import { expect, test } from 'vitest'
import { expectCode, freshSecret, type InBench, makeMove, outcome } from './contract.kit.bench.ts'
import { isOtherServer, type KnownServer, OTHER_SERVER, type ServerIdentity } from './contract.ts'

const known = ({ facts, run }: ServerIdentity): KnownServer => ({ facts, run: run && { id: run.id, secondsAgo: 0 } })
/** The first fact says something else. */
const stranger = ({ facts }: ServerIdentity): KnownServer => ({
  facts: Object.fromEntries(Object.entries(facts).map(([name, value], index) => [name, index === 0 ? `${value}x` : value])),
  run: null,
})

/** Which server it is. */
export function describeServer(bench: InBench): void {
  test(
    'a server says the same of itself by every way to it',
    bench(async (b) => {
      const proxy = await b.lab.startProxy()
      try {
        const [direct, again] = [await b.open().identify(b.ctx), await b.open().identify(b.ctx)]
        const around = await b.open({ address: { ...b.lab.address, host: '127.0.0.1', port: proxy.port } }).identify(b.ctx)
        expect(Object.keys(direct.facts)).not.toEqual([])
        expect(direct.account).toBe(b.lab.root.account)
        for (const other of [again, around]) {
          expect(other.facts).toEqual(direct.facts)
          expect(other.run?.id).toBe(direct.run?.id)
        }
      } finally {
        await proxy.stop()
      }
    }),
  )

  test(
    'naming the right server changes nothing: it can be driven, the right value is accepted and a wrong one refused',
    bench(async (b) => {
      const server = known(await b.open().identify(b.ctx))
      const secret = freshSecret()
      const account = await b.account(secret)
      const target = b.open({ server })
      expect(await outcome(b, target, { account, secret })).toBe('accepted')
      expect(await outcome(b, target, { account, secret: freshSecret() })).toBe('refused')
      expect((await target.discover(b.ctx)).map(({ name }) => name)).toContain(account)
    }),
  )

  test(
    'another server than the one on record is not changed, and what it accepts proves nothing',
    bench(async (b) => {
      const [strategy = 'in-place'] = b.lab.connector.describe().strategies
      const { old, next, order } = await makeMove(b, strategy)
      const target = b.open({ server: stranger(await b.open().identify(b.ctx)) })
      const secrets = [old.secret, next.secret, b.lab.root.secret]
      for (const call of [
        () => target.install(b.ctx, order),
        () => target.retire(b.ctx, { strategy, account: old.account, old: old.secret, keep: null }),
        () => target.endSessions(b.ctx, old.account),
        () => target.sessions(b.ctx, old.account),
        () => target.discover(b.ctx),
      ]) {
        expect(isOtherServer(await expectCode(call(), 'target_conflict', secrets))).toBe(true)
      }
      expect(await target.probe(b.ctx, old.account, old.secret)).toEqual({ outcome: 'inconclusive', code: OTHER_SERVER })
      expect(await outcome(b, target, { account: old.account, secret: freshSecret() })).toBe('refused')
      expect(await outcome(b, b.open(), { account: old.account, secret: old.secret })).toBe('accepted')
    }),
  )
}
