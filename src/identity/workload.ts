import { type Ctx, Secret } from '../kernel/index.ts'
import type { Attestation, Principal } from '../policy/index.ts'
import { sha256Hex } from '../seal/index.ts'
import type { Sql } from '../store/index.ts'
import { activeIdentity, boundFor, identityPrincipal, type Limits } from './delegate.ts'
import type { IssuerKeys } from './issuer.keys.ts'
import { ruleFor } from './issuer.model.ts'
import { dropOldProofs, type Issuer, othersRely, type Rule, rulesOf, seeOnce, trustedIssuer } from './issuer.store.ts'
import { checkProof, type Presented } from './workload.dpop.ts'
import { originsOf, Refused, readJwt, type Unverified, verifyJwt } from './workload.jwt.ts'

/** Actors within actors that are read at most (RFC 8693 section 4.1); the outermost one acts. */
const ACTORS_MAX = 4
const JTI_CHARS = 1_000

/**
 * Who presents a signed token: a workload, a machine, or an agent with whom it acts for. Null if the token does not count, for whatever
 * reason; the log says which, once the issuer is known. Nothing is fetched for an issuer that is not on record. `again`: of a request that
 * was accepted before; what may be shown only once was.
 */
export async function authenticateWorkload(
  sql: Sql,
  ctx: Ctx,
  keys: IssuerKeys,
  presented: Presented,
  shown: 'first' | 'again' = 'first',
): Promise<Principal | null> {
  const token = presented.token.revealText(readJwt)
  if (token === null) return null
  const { iss, trustDomain } = originsOf(token)
  const issuer = iss === null && trustDomain === null ? null : await trustedIssuer(sql, iss, trustDomain)
  if (issuer === null) return null
  try {
    await verifyJwt(ctx, keys, issuer, token)
    const rules = await rulesOf(sql, issuer.id)
    const found = await whoIs(sql, ctx, rules, token.claims, issuer)
    // Keys that came with the issuer: who made it may hold the private half. Keys that are fetched are somebody else's.
    if (issuer.leftAlone && issuer.keys.from === 'inline' && !(await othersRely(sql, found.rule.identity, issuer.makers ?? []))) {
      throw new Refused('its maker is not active, nobody has confirmed it, and nobody else answers for whom it is about')
    }
    const bound = shown === 'again' ? token.claims.cnf !== undefined : await possession(sql, ctx, presented, token)
    // Last, and only for a token that would count otherwise: nobody else can use up a token by showing it.
    if (!bound && shown === 'first') await refuseReplay(sql, ctx, issuer, token, presented.holder)
    const attestation: Attestation = !bound ? 'token' : found.rule.hardware ? 'hardware' : 'bound'
    return { ...found.principal, attestation, makers: makersOf(issuer, found), proof: proofLinks(issuer, found) }
  } catch (error) {
    if (!(error instanceof Refused)) throw error
    ctx.log.info({ issuer: issuer.name, why: error.message }, 'a token of a trusted issuer was refused')
    return null
  }
}

interface Found {
  readonly principal: Principal
  readonly rule: Rule
  /** Of a token with an actor: the rule for whom it is about. */
  readonly about?: Rule
}

/** Who could have made this very token: who made the issuer, and whoever mapped what it was let in by. */
function makersOf(issuer: Issuer, { rule, about }: Found): string[] {
  return [...new Set([...(issuer.makers ?? []), ...(rule.makers ?? []), ...(about?.makers ?? [])])].sort()
}

/** What evidence says of it. */
function proofLinks(issuer: Issuer, { rule, about }: Found): Record<string, string> {
  return { proof_issuer: issuer.id, proof_rule: rule.id, ...(about === undefined ? {} : { proof_about: about.id }) }
}

async function whoIs(sql: Sql, ctx: Ctx, rules: readonly Rule[], claims: Unverified['claims'], issuer: Issuer): Promise<Found> {
  const subject = oneRule(rules, 'subject', claims)
  if (claims.act !== undefined) return agentFor(sql, ctx, rules, claims.act, subject, issuer)
  const row = await activeIdentity(sql, subject.identity)
  if (row === null) throw new Refused('identity')
  // People log in. A token about a person is somebody else's word, and needs an actor whose word it is.
  if (row.kind === 'human') throw new Refused('a person')
  if (row.kind !== 'agent') return { principal: await identityPrincipal(sql, row, 'token', limitsOf(subject)), rule: subject }
  if (subject.actsFor === null) throw new Refused('an agent that acts for nobody')
  return agent(sql, ctx, subject, subject.actsFor, limitsOf(subject))
}

/** RFC 8693 section 4.1: the token is about its subject; the outermost actor acts, and those within are history. */
async function agentFor(sql: Sql, ctx: Ctx, rules: readonly Rule[], act: unknown, subject: Rule, { origin, type }: Issuer): Promise<Found> {
  let depth = 0
  for (let at: unknown = act; at !== undefined; at = (at as { act?: unknown }).act) {
    if (typeof at !== 'object' || at === null || Array.isArray(at) || ++depth > ACTORS_MAX) throw new Refused('actors')
    if (typeof (at as { sub?: unknown }).sub !== 'string') throw new Refused('actors')
  }
  const actor = oneRule(rules, 'actor', act)
  // An actor of another issuer has that one's names: only a rule that says which issuer may speak of it.
  const { iss } = act as { iss?: unknown }
  if (iss !== undefined && iss !== (type === 'spiffe' ? undefined : origin) && actor.claims.iss === undefined)
    throw new Refused('issuer of the actor')
  return { ...(await agent(sql, ctx, actor, subject.identity, limitsOf(subject))), about: subject }
}

async function agent(sql: Sql, ctx: Ctx, rule: Rule, actsFor: string, limits: Limits): Promise<Found> {
  const row = await activeIdentity(sql, rule.identity)
  if (row?.kind !== 'agent') throw new Refused('identity of the actor')
  if (rule.scope === null || rule.environments === null) throw new Refused('an agent without limits')
  const within = await boundFor(sql, actsFor, ctx.clock.now(), limits)
  if (within === null) throw new Refused('whom it acts for')
  const own = await identityPrincipal(sql, row, 'token', limitsOf(rule))
  return { principal: { ...own, actsFor: { identity: actsFor }, within }, rule }
}

function oneRule(rules: readonly Rule[], part: Rule['part'], claims: unknown): Rule {
  const rule = ruleFor(rules, part, claims)
  if (rule === null) throw new Refused(`no rule for the ${part}`)
  if (rule === 'several') throw new Refused(`several rules for the ${part}`)
  return rule
}

function limitsOf({ scope, environments }: Rule): Limits {
  return { scope, environments }
}

/**
 * Whether the token is bound to a key (`cnf`, RFC 7800), and was shown with the proof of it. One that is bound and comes without is
 * refused, and so is one that is bound in a way that this server cannot check: to a client certificate, of which it sees nothing.
 */
async function possession(sql: Sql, ctx: Ctx, presented: Presented, { claims }: Unverified): Promise<boolean> {
  const { cnf } = claims
  if (cnf === undefined) {
    if (presented.scheme === 'dpop') throw new Refused('a proof for a token that is not bound')
    return false
  }
  const jkt = typeof cnf === 'object' && cnf !== null ? (cnf as { jkt?: unknown }).jkt : undefined
  if (typeof jkt !== 'string' || Object.keys(cnf as object).length !== 1) throw new Refused('bound in a way that cannot be checked')
  await checkProof(sql, ctx, presented, jkt)
  return true
}

/**
 * A token with an id counts once; again only for who sends the secret that came with it the first time. So one command can ask many times,
 * and everything of the token, its end and its age too, is checked each time. Without its secret the text of the token is worth nothing.
 */
async function refuseReplay(sql: Sql, ctx: Ctx, issuer: Issuer, { claims }: Unverified, holder: Secret | null): Promise<void> {
  const { jti, exp } = claims
  if (issuer.replay === 'age') return
  if (jti === undefined && issuer.replay === 'jti') return
  if (typeof jti !== 'string' || jti === '' || jti.length > JTI_CHARS || typeof exp !== 'number') throw new Refused('id of the token')
  const nowMs = ctx.clock.now().getTime()
  // It cannot count longer than either its end or its age says.
  const endMs = Math.min(exp * 1000, nowMs + 2 * issuer.maxTokenAgeSeconds * 1000) + 2 * issuer.clockSkewSeconds * 1000
  await dropOldProofs(sql, new Date(nowMs - 60_000))
  const by = holder === null ? null : sha256Hex(holder)
  if (!(await seeOnce(sql, issuer.id, sha256Hex(Secret.fromText(jti)), new Date(endMs), by))) throw new Refused('seen before')
}
