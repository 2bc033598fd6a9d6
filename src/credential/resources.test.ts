/** What a proof that is limited, or a policy that narrows, may touch: the rest answers as if it were not there. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Secret } from '../kernel/index.ts'
import { type Action, defaultFiles, overlay, Policies, type Principal, readPolicies } from '../policy/index.ts'
import { principal } from '../policy/testing.ts'
import { acceptServer, decommissionSystem, discoverAccounts, requireSystem, setRoot, systemWarnings } from './index.ts'
import { Engine } from './testing.ts'

const NARROW = {
  name: 'narrow.cedar',
  text: `permit (principal in Role::"db-keeper", action in Action::"system:*", resource)
         when { resource is Installation || (resource is System && resource has system && resource.system == "mine") };\n`,
}

let engine: Engine
const policies = new Policies(readPolicies(overlay(defaultFiles(), [NARROW])))
const limited = principal({ roles: ['bootstrap-admin'], environments: ['prod'] })
const keeper = principal({ roles: ['db-keeper'] })
beforeAll(async () => {
  engine = await Engine.start({ worker: false })
  await engine.db.store.query(
    `insert into system (id, name, connector, host, port, tls, root_account, concurrent)
     select gen_random_uuid(), name, 'postgres', '127.0.0.1', 1, 'off', 'root', 1 from unnest(array['mine', 'other']) as name`,
  )
})
afterAll(() => engine.stop())

const may = <A extends Action>(who: Principal, action: A) => policies.allow(engine.ctx, who, action)
const all = (who: Principal, system: string): Promise<unknown>[] => {
  const { parts, ctx } = engine
  return [
    discoverAccounts(parts, ctx, may(who, 'system:discover'), system),
    systemWarnings(parts, ctx, may(who, 'system:discover'), system),
    setRoot(parts, ctx, may(who, 'system:set-root'), system, Secret.fromText('x'.repeat(20))),
    acceptServer(parts, ctx, may(who, 'system:accept-server'), system, { reason: 'moved', apart: false }),
    decommissionSystem(parts, ctx, may(who, 'system:decommission'), system, { reason: 'gone', unprovable: false }),
    (async () => requireSystem(may(who, 'system:rotate-root'), system))(),
  ]
}
const refusals = async (who: Principal, system: string) =>
  (await Promise.allSettled(all(who, system))).map((end) => (end.status === 'rejected' ? String(end.reason) : 'done'))

test('a system that is not yours answers as one that is not there', async () => {
  for (const [who, name] of [
    [limited, 'mine'],
    [keeper, 'other'],
  ] as const) {
    const [there, nowhere] = [await refusals(who, name), await refusals(who, 'nowhere')]
    expect(there).toEqual(there.map(() => `RekeyError: No such system: ${name}`))
    expect(nowhere).toEqual(there.map((text) => text.replace(name, 'nowhere')))
  }
})

test('one that is yours is let through', () => {
  expect(() => requireSystem(may(keeper, 'system:set-root'), 'mine')).not.toThrow()
  expect(() => requireSystem(may(keeper, 'system:set-root'), 'other')).toThrow(/No such system: other/)
})
