import { append, type EvidenceEvent } from '../evidence/index.ts'
import { type Ctx, isId, type Json, newId, RekeyError } from '../kernel/index.ts'
import type { Allowed, Principal } from '../policy/index.ts'
import type { Sql, Store, Tx } from '../store/index.ts'
import { requireApproval, withApproval } from './approval.gate.ts'
import { activeIdentity } from './delegate.ts'
import { issuerAsked, ruleAsked } from './issuer.asked.ts'
import { keySet } from './issuer.keys.ts'
import { checkIssuer, checkRule, type IssuerFields, type IssuerInput, overlaps, type RuleFields } from './issuer.model.ts'
import * as rows from './issuer.store.ts'
import { identityNamed } from './record.list.ts'
import { checkText, refuse } from './record.model.ts'
import { checkEnvironments, checkScope } from './token.model.ts'

const NAME_CHARS = 60

/** An issuer as it is listed. */
export interface IssuerView extends IssuerFields {
  readonly id: string
  readonly rules: number
  /** Rules that go by a prefix: weaker than they should be. */
  readonly weakRules: number
  readonly createdAt: Date
  readonly createdBy: string
}

/** A rule as it is listed. */
export interface RuleView extends RuleFields {
  readonly id: string
  readonly issuer: string
  /** Name null if the identity is gone: then the rule lets nobody in. */
  readonly identity: { readonly id: string; readonly name: string | null }
  readonly actsFor: { readonly id: string; readonly name: string | null } | null
  /** It goes by a prefix. */
  readonly weak: boolean
  readonly createdAt: Date
  readonly createdBy: string
}

/** What a rule is to be. */
export interface RuleInput extends RuleFields {
  /** Name of the issuer. */
  readonly issuer: string
  /** Id or name of the identity that the claims stand for. */
  readonly identity: string
  /** Id or name of whom an agent acts for, where its tokens do not say. */
  readonly actsFor: string | null
}

/**
 * Trusts an issuer (`issuer.added`, log identity): its tokens count from then on, for whoever a rule names. Throws `bad_input`; `conflict`
 * if the name, the issuer or the trust domain is there already; `approval_required` where a rule asks for it.
 */
export async function addIssuer(
  store: Store,
  ctx: Ctx,
  _may: Allowed<'issuer:configure'>,
  by: Principal,
  input: IssuerInput,
): Promise<rows.Issuer> {
  checkText('name', input.name, NAME_CHARS)
  checkText('audience', input.audience)
  const fields = checkIssuer(input)
  if (fields.keys.from === 'inline' && keySet(fields, fields.keys.jwks) === null) {
    refuse('Among the keys there is none that could be used.', 'Give public keys, for signatures; in a bundle those with use jwt-svid.')
  }
  const now = ctx.clock.now()
  const issuer = { ...fields, id: newId(now.getTime()), makers: ctx.behind }
  await withApproval(store, ctx, by, async (tx) => {
    await requireApproval(tx, ctx, issuerAsked(fields))
    if (!(await rows.insertIssuer(tx, issuer, now, ctx.actor))) {
      throw new RekeyError('conflict', 'There is an issuer of this name, or one that says so of itself, already.')
    }
    const { name: _name, id: _id, keys, algorithms, makers, ...rest } = issuer
    await append(tx, ctx, [issuerEvent('issuer.added', issuer, { ...rest, algorithms: [...algorithms], keys: { ...keys }, makers })])
  })
  return issuer
}

/** Trusts an issuer no more, from the next token on, and drops its rules (`issuer.removed`). Throws `not_found`. */
export async function removeIssuer(store: Store, ctx: Ctx, _may: Allowed<'issuer:configure'>, name: string, reason: string): Promise<void> {
  await store.inTx(async (tx) => {
    const issuer = (await rows.lockIssuer(tx, name)) ?? noIssuer()
    const rules = await rows.rulesOf(tx, issuer.id)
    await rows.deleteIssuer(tx, issuer.id)
    const gone = rules.map((rule) => ({ rule: rule.id, identity: rule.identity }))
    await append(tx, ctx, [issuerEvent('issuer.removed', issuer, { reason, origin: issuer.origin, rules: gone.slice(0, 200) })])
  })
}

/**
 * Lets claims of an issuer's tokens stand for an identity (`issuer.mapped`); resolves with the rule's id. A rule for an agent limits it to
 * a scope and environments. People are named only as whom an agent acts for. Throws `bad_input`, `not_found`; `approval_required` where a
 * rule asks for it.
 */
export async function mapIssuer(
  store: Store,
  ctx: Ctx,
  _may: Allowed<'issuer:configure'>,
  by: Principal,
  input: RuleInput,
): Promise<string> {
  const scope = checkScope(input.scope)
  const environments = checkEnvironments(input.environments)
  return withApproval(store, ctx, by, async (tx) => {
    const known = (await rows.issuerNamed(tx, input.issuer)) ?? noIssuer()
    const { identity, actsFor } = await identitiesOf(tx, input)
    // Before the issuer is locked: an approval is used up under a lock that comes first.
    await requireApproval(tx, ctx, ruleAsked(known, { ...input, scope, environments }, identity, actsFor))
    const issuer = (await rows.lockIssuer(tx, input.issuer)) ?? noIssuer()
    if (issuer.id !== known.id) throw new RekeyError('conflict', 'The issuer was replaced at this moment.', { hint: 'Try again.' })
    checkRule(issuer, input)
    const { part, claims, prefixes, hardware } = input
    const clash = (await rows.rulesOf(tx, issuer.id)).find((rule) => overlaps(rule, input))
    if (clash !== undefined) throw overlapping(issuer.name, clash.id)
    const id = newId(ctx.clock.now().getTime())
    const rule = {
      id,
      part,
      claims,
      prefixes,
      hardware,
      scope,
      environments,
      identity: identity.id,
      actsFor: actsFor?.id ?? null,
      makers: ctx.behind,
    }
    await rows.insertRule(tx, issuer.id, rule, ctx.clock.now(), ctx.actor)
    await append(tx, ctx, [ruleEvent('issuer.mapped', issuer, rule)])
    return id
  })
}

function overlapping(issuer: string, id: string): RekeyError {
  return new RekeyError('conflict', `A token could fit this rule and the rule ${id}, and would be refused.`, {
    hint: `Take that one back first: rekey issuer unmap ${issuer} ${id}; or name a claim that keeps them apart.`,
  })
}

async function identitiesOf(tx: Tx, { part, identity: key, actsFor: forKey, scope, environments }: RuleInput) {
  const identity = await named(tx, key)
  const actsFor = forKey === null ? null : await named(tx, forKey)
  if (part === 'actor' && identity.kind !== 'agent') refuse('An actor is an agent.')
  if (part === 'actor' && actsFor !== null) refuse('For whom an actor acts, its token says.')
  if (actsFor !== null && (identity.kind !== 'agent' || actsFor.kind === 'agent')) refuse('An agent acts for a person or a workload.')
  if (identity.kind === 'agent' && (scope === null || environments === null)) refuse('A rule for an agent names a scope and environments.')
  return { identity, actsFor }
}

async function named(sql: Sql, key: string) {
  const { id } = await identityNamed(sql, key)
  const row = await activeIdentity(sql, id)
  if (row === null) throw new RekeyError('not_found', 'There is no such identity that is active.')
  return row
}

/** Takes a rule back, from the next token on (`issuer.unmapped`). Throws `not_found`. */
export async function unmapIssuer(store: Store, ctx: Ctx, _may: Allowed<'issuer:configure'>, name: string, id: string): Promise<void> {
  await store.inTx(async (tx) => {
    const issuer = (await rows.lockIssuer(tx, name)) ?? noIssuer()
    const rule = isId(id) ? await rows.deleteRule(tx, issuer.id, id) : null
    if (rule === null) throw new RekeyError('not_found', 'There is no such rule.')
    await append(tx, ctx, [ruleEvent('issuer.unmapped', issuer, rule)])
  })
}

/** Issuers by name, after the one called `after`. */
export async function readIssuers(sql: Sql, _may: Allowed<'issuer:read'>, after: string, limit: number): Promise<IssuerView[]> {
  const found = await rows.listIssuers(sql, after, limit)
  return found.map(({ created_at, created_by, weak, ...rest }) => ({
    ...rest,
    weakRules: weak,
    createdAt: created_at,
    createdBy: created_by,
  }))
}

/** The rules of one issuer, oldest first, after the rule `after`. Throws `not_found`. */
export async function readRules(
  sql: Sql,
  _may: Allowed<'issuer:read'>,
  name: string,
  page: { readonly after: string | null; readonly limit: number },
): Promise<RuleView[]> {
  const issuer = (await rows.issuerNamed(sql, name)) ?? noIssuer()
  return (await rows.listRules(sql, { issuer: issuer.id, weak: false, ...page })).map(ruleView)
}

/** Rules that go by a prefix, of all issuers: worth a finding. At most `limit`, after the rule `after`. */
export async function weakRules(sql: Sql, page: { readonly after: string | null; readonly limit: number }): Promise<RuleView[]> {
  return (await rows.listRules(sql, { issuer: null, weak: true, ...page })).map(ruleView)
}

function ruleView(row: rows.ListedRule): RuleView {
  const { identity, identityName, actsFor, actsForName, created_at, created_by, ...rest } = row
  return {
    ...rest,
    identity: { id: identity, name: identityName },
    actsFor: actsFor === null ? null : { id: actsFor, name: actsForName },
    weak: Object.keys(row.prefixes).length > 0,
    createdAt: created_at,
    createdBy: created_by,
  }
}

function noIssuer(): never {
  throw new RekeyError('not_found', 'There is no such issuer.')
}

function issuerEvent(type: string, { id, name }: rows.Issuer, data: Record<string, Json>): EvidenceEvent {
  return { log: 'identity', type, subject: name, links: { issuer: id }, data }
}

function ruleEvent(type: string, issuer: rows.Issuer, rule: rows.Rule): EvidenceEvent {
  const { id, identity, part, claims, prefixes, hardware, scope, environments, actsFor, makers } = rule
  const limits = { scope: scope === null ? null : [...scope], environments: environments === null ? null : [...environments] }
  const data = {
    part,
    claims: { ...claims },
    prefixes: { ...prefixes },
    hardware,
    ...limits,
    ...(actsFor === null ? {} : { actsFor }),
    makers,
  }
  return { log: 'identity', type, subject: issuer.name, links: { issuer: issuer.id, rule: id, identity }, data }
}
