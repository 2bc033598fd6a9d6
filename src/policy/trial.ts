/**
 * A set is asked before it may come into force: what makes Cedar fail only when it decides is found where nothing else is decided. The
 * memory on which Cedar's stack lies is of one size in every process: what it can decide here, it can decide in the server.
 */
import { ACTIONS, type Action, factsOf } from './actions.ts'
import type { Bench } from './cedar.bench.ts'
import { Prepared } from './cedar.prepared.ts'
import { PRINCIPAL_TYPE, RESOURCE_TYPE } from './cedar.schema.ts'
import { entitiesIn, entitiesNamed, type Question, type Uid } from './cedar.ts'
import { DEEP, treeLevels } from './depth.ts'
import { actionsOf } from './hands.ts'
import type { Policy } from './set.model.ts'
import { textsOf } from './set.ts'

/** Cedar failed otherwise than by an answer. */
export class Ruined extends Error {}

const KINDS = Object.values(PRINCIPAL_TYPE)
const SOMEBODY = { identity: 'somebody', attestation: 'none', actsFor: 'somebody', minutesSinceLogin: 0 }
const SOMETHING = { environment: 'any', owner: 'somebody', system: 'any', kind: 'any' }

/**
 * Asks a set, in `bench`, of each action for each type of thing, by each kind of principal in turn that has all roles and teams which it
 * names; and what goes deep (`DEEP`: all questions of a whole set would take seconds), or names somebody or something in its scope, by
 * itself: by every kind, of every action that it is about. Throws `Ruined` where that makes Cedar fail, and whatever else preparing fails
 * with.
 */
export function tryPolicies(policies: readonly Policy[], bench: Bench): void {
  const named = policies.flatMap(({ json }) => entitiesNamed(json))
  const parents = distinct(named.filter(({ type }) => type === 'Role' || type === 'Team'))
  const all = new Prepared(bench)
  all.replace(textsOf(policies))
  let turn = 0
  for (const [action, resource] of acts(ACTIONS)) {
    const kind = KINDS[turn++ % KINDS.length] ?? ''
    ask(all, { principal: { type: kind, id: 'somebody' }, resource, action, parents })
  }
  const alone = new Prepared(bench)
  for (const policy of policies) if (isSpecial(policy)) tryAlone(alone, policy, parents)
}

type Asked = Pick<Question, 'principal' | 'action' | 'resource' | 'parents'>

function ask(prepared: Prepared, asked: Asked): void {
  const attrs = { ...SOMEBODY, aal: asked.principal.type === PRINCIPAL_TYPE.person ? 3 : 0 }
  prepared.ask({ ...asked, attrs, resourceAttrs: asked.resource.type === RESOURCE_TYPE.installation ? {} : SOMETHING }, (why) => {
    throw new Ruined(why)
  })
}

function isSpecial({ json: { principal, resource, conditions } }: Policy): boolean {
  return treeLevels(conditions) > DEEP || ownNames(principal).length + entitiesIn(resource).length > 0
}

/** Of those that a scope names, who asks itself. */
function ownNames(principal: unknown): Uid[] {
  return entitiesIn(principal).filter(({ type }) => KINDS.includes(type))
}

function tryAlone(alone: Prepared, policy: Policy, parents: readonly Uid[]): void {
  const { json } = policy
  alone.replace(textsOf([policy]))
  const who = [...KINDS.map((type) => ({ type, id: 'somebody' })), ...ownNames(json.principal)]
  const what = entitiesIn(json.resource)
  for (const [action, resource] of acts(actionsOf(json))) {
    for (const one of [resource, ...what.filter(({ type }) => type === resource.type)]) {
      for (const principal of who) ask(alone, { principal, action, resource: one, parents })
    }
  }
}

/** Every action with every type of thing that it is done to. */
function acts(actions: readonly Action[]): (readonly [Action, Uid])[] {
  return actions.flatMap((action) =>
    (['installation', ...factsOf(action).on] as const).map((type) => [action, { type: RESOURCE_TYPE[type], id: type }] as const),
  )
}

function distinct(some: readonly Uid[]): Uid[] {
  return [...new Map(some.map((one) => [JSON.stringify([one.type, one.id]), one])).values()]
}
