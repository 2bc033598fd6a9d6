/**
 * Which index answers a filter, or narrows down what must be looked at one by one. A closed set of conditions, each a constant text
 * with one parameter: what a client writes never becomes SQL, and never makes a new statement.
 */
import { isId } from '../../kernel/index.ts'
import { type Chain, fold, pathText } from './attribute.ts'
import type { Bound } from './filter.match.ts'

/** Best first: how few rows it leaves. */
const BY = ['none', 'id', 'userName', 'external', 'displayName', 'email', 'member', 'changedAfter', 'changedSince', 'active'] as const
export type By = (typeof BY)[number]

/** Resources for which an indexed condition holds. */
export interface Driver {
  readonly by: By
  readonly value: string | boolean | Date | null
}

/** Every resource that passes is found by one of these; with `exact`, every one that is found passes. */
export interface Plan {
  readonly drivers: readonly Driver[]
  readonly exact: boolean
}

const EXACT_MAX = 1

/** Null: no index helps. `supports` says which conditions the resource type has. */
export function planOf(filter: Bound, supports: (by: By) => boolean): Plan | null {
  if (filter.op === 'and') return narrowest(filter.filters.flatMap((one) => planOf(one, supports) ?? []))
  if (filter.op === 'or') return together(filter.filters.map((one) => planOf(one, supports)))
  if (filter.op === 'never') return { drivers: [{ by: 'none', value: null }], exact: true }
  if (filter.op === 'has') return insideOf(filter.chain, filter.filter, supports)
  if (filter.op === 'not' || filter.op === 'pr' || !('value' in filter)) return null
  const driver = driverOf(pathText(filter.chain), filter.op, filter.value)
  return driver !== null && supports(driver.by) ? { drivers: [driver], exact: true } : null
}

function driverOf(path: string, op: string, value: string | boolean | null): Driver | null {
  if (path === 'meta.lastModified' && typeof value === 'string') {
    if (op === 'gt') return { by: 'changedAfter', value: new Date(value) }
    return op === 'ge' ? { by: 'changedSince', value: new Date(value) } : null
  }
  if (op !== 'eq' || value === null) return null
  if (path === 'active') return { by: 'active', value }
  if (typeof value !== 'string') return null
  // PostgreSQL takes no NUL, and no name holds one.
  if (value.includes('\u0000') || !value.isWellFormed()) return { by: 'none', value: null }
  if (path === 'id') return isId(value) ? { by: 'id', value } : { by: 'none', value: null }
  if (path === 'members.value') return isId(value) ? { by: 'member', value } : { by: 'none', value: null }
  if (path === 'userName') return { by: 'userName', value: fold(value) }
  if (path === 'displayName') return { by: 'displayName', value: fold(value) }
  if (path === 'emails.value') return { by: 'email', value: fold(value) }
  return path === 'externalId' ? { by: 'external', value } : null
}

/** `emails[value eq "x"]` is `emails.value eq "x"`; with more in the brackets it narrows. */
function insideOf(chain: Chain, inner: Bound, supports: (by: By) => boolean): Plan | null {
  if (inner.op === 'and') {
    const plan = narrowest(inner.filters.flatMap((one) => insideOf(chain, one, supports) ?? []))
    return plan === null ? null : { ...plan, exact: false }
  }
  if (inner.op === 'or') return together(inner.filters.map((one) => insideOf(chain, one, supports)))
  if (inner.op !== 'eq') return null
  const driver = driverOf(pathText([...chain, ...inner.chain]), inner.op, inner.value)
  return driver !== null && supports(driver.by) ? { drivers: [driver], exact: true } : null
}

function narrowest(plans: readonly Plan[]): Plan | null {
  const cost = ({ drivers }: Plan) => Math.max(...drivers.map(({ by }) => BY.indexOf(by))) * 100 + drivers.length
  const [best] = plans.toSorted((a, b) => cost(a) - cost(b))
  return best === undefined ? null : { ...best, exact: false }
}

function together(plans: readonly (Plan | null)[]): Plan | null {
  if (plans.some((plan) => plan === null)) return null
  const drivers = plans.flatMap((plan) => plan?.drivers ?? [])
  return { drivers, exact: drivers.length <= EXACT_MAX && plans.every((plan) => plan?.exact === true) }
}
