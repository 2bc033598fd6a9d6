/** Logins, roles, policies, trust and approvals: what the tables say against what the log says. */
import { canonicalJson, eachEvent } from '../evidence/index.ts'
import { isCode, type Json, timeText } from '../kernel/index.ts'
import type { Sql, Store } from '../store/index.ts'
import { type Approvable, checkApprovable } from './approval.model.ts'
import { listed } from './approval.people.ts'
import * as rows from './rights.fsck.store.ts'
import {
  called,
  decisionText,
  type Facts,
  follow,
  newStory,
  passkeyDigest,
  placesDigest,
  type Story,
  sealedDigest,
  sessionDigest,
} from './rights.story.ts'
import { SESSION_LIMITS } from './session.model.ts'
import { storedDigest } from './stored.ts'
import { compareWays } from './ways.fsck.ts'
import { followWays, newWays } from './ways.story.ts'

interface Finding {
  readonly where: string
  readonly what: string
}

type Report = (where: string, what: string) => void
type Row = readonly [where: string, facts: Facts]

/**
 * Compares the rows that let people and programs in, and that say what was decided, with the identity log: role bindings, passkeys, login
 * providers, live sessions, issuers with their claim rules, approval rules, requests for approval with their approvers and decisions,
 * identities of one person, the policies in force and those proposed, one-time codes, directories with their tokens and users, queued
 * changes, and who was forced to hold both hands. In one snapshot. Resolves with what does not agree; `note` is told what older events say
 * too little of to compare. Throws what the database does.
 */
export async function fsckRights(store: Store, note: Report = () => undefined): Promise<Finding[]> {
  return store.onConnection(async (sql) => {
    await sql.query('begin transaction isolation level repeatable read read only')
    try {
      return await rightsFindings(sql, note)
    } finally {
      await sql.query('rollback')
    }
  })
}

/** The same in the caller's transaction, which should be one snapshot. */
export async function rightsFindings(sql: Sql, note: Report = () => undefined): Promise<Finding[]> {
  const findings: Finding[] = []
  const report: Report = (where, what) => void findings.push({ where, what })
  const sessions = await rows.liveSessions(sql)
  const story = newStory(new Set(sessions.map(({ id }) => id)))
  const ways = newWays()
  for await (const event of eachEvent(sql, 'identity')) {
    follow(story, event)
    followWays(ways, event)
  }
  compareSessions(sessions, story, report)
  compareProofs(story, report)
  for (const read of [bindings, logins, trust, approvalRules, approvals, pairs, policies]) {
    for (const [where, facts] of await read(sql, story, report)) compare(where, facts, story, report)
  }
  for (const where of story.things.keys()) report(where, 'The log knows it; the table does not.')
  await compareWays(sql, ways, { finding: report, note })
  return findings
}

/** What is compared is taken out of the story: what is left has no row. */
function compare(where: string, stored: Facts, { things }: Story, report: Report): void {
  const told = things.get(where)
  things.delete(where)
  if (told === undefined) report(where, 'The table has it; the log knows nothing of it.')
  for (const [fact, value] of told === undefined ? [] : Object.entries(stored)) {
    const log = told?.[fact]
    if (log !== undefined && textOf(log) !== textOf(value))
      report(where, `Its ${fact} is ${textOf(value)} by the table, ${textOf(log)} by the log.`)
  }
}

const textOf = (value: Json | undefined): string => canonicalJson(value ?? null)

/** What a program did, it did by a rule of that issuer that was about it. */
function compareProofs({ proofs, everRules }: Story, report: Report): void {
  for (const [by, event] of proofs) {
    const [rule = '', ...rest] = by.split(' ')
    if (everRules.get(rule) !== rest.join(' ')) report(`event ${event}`, `By the log the claim rule ${rule} never let its actor in.`)
  }
}

function compareSessions(sessions: readonly rows.SessionRow[], story: Story, report: Report): void {
  for (const session of sessions) {
    const { id, identity, aal, authenticated_at, hash, ends_at, idle_seconds, rests_until_later, method, provider, passkey } = session
    const where = called.session(id)
    if (story.endedSessions.has(id)) report(where, 'The log says that it has ended; by the table it is live.')
    const mostMs = SESSION_LIMITS[aal].seconds * 1000
    // `infinity` is read as a number.
    if (Number(ends_at) - Number(authenticated_at) > mostMs) report(where, 'It lasts longer than its level may.')
    if (idle_seconds > SESSION_LIMITS[aal].idleSeconds) report(where, 'It may rest longer than its level may.')
    if (rests_until_later) report(where, 'It was last used later than now.')
    const by = { method, provider, passkey }
    const authenticatedAt = timeText(authenticated_at)
    compare(where, { identity, aal, authenticatedAt, digest: sessionDigest(hash), ...by }, story, report)
  }
}

async function bindings(sql: Sql): Promise<Row[]> {
  return (await rows.bindings(sql)).map(({ role, kind, subject }) => [called.binding(role, kind, subject), {}])
}

async function logins(sql: Sql): Promise<Row[]> {
  const keys = (await rows.passkeys(sql)).map(({ id, identity, name, device_bound, credential_id, public_key, came_by }): Row => {
    const digest = passkeyDigest(credential_id, public_key)
    return [called.passkey(id), { identity, name, deviceBound: device_bound, digest, cameBy: came_by }]
  })
  const providers = (await rows.loginProviders(sql)).map(({ id, facts, sealed }): Row => {
    return [called.provider(id), { ...facts, secret: sealedDigest(sealed) }]
  })
  return [...keys, ...providers]
}

async function trust(sql: Sql): Promise<Row[]> {
  const issuers = (await rows.issuers(sql)).map(({ id, ...facts }): Row => [called.issuer(id), facts])
  const claims = (await rows.claimRules(sql)).map(({ id, ...facts }): Row => [called.rule(id), facts])
  return [...issuers, ...claims]
}

async function approvalRules(sql: Sql): Promise<Row[]> {
  return (await rows.approvalRules(sql)).map(({ action, ...facts }) => [called.approvalRule(action), facts])
}

async function pairs(sql: Sql): Promise<Row[]> {
  return (await rows.pairs(sql)).map(({ low, high, same }) => [called.pair(low, high), { same }])
}

async function policies(sql: Sql): Promise<Row[]> {
  return (await rows.activePolicies(sql)).map(({ id, files }) => [called.policies(), { set: id, digest: storedDigest(files) }])
}

async function approvals(sql: Sql, { decisions }: Story, report: Report): Promise<Row[]> {
  const found: Row[] = []
  for (const row of await rows.approvals(sql)) {
    const where = called.approval(row.id)
    if (!isWhole(row)) report(where, 'Its digest is not that of what its row says is approved.')
    const live = (row.live ?? []).map(([by, decision, aal, passkey]) => `${by} ${decisionText(decision, aal, passkey)}`).sort()
    const told = [...(decisions.get(row.id) ?? [])].map(([by, text]) => `${by} ${text}`).sort()
    for (const one of live) if (!told.includes(one)) report(where, `The decision ${one} is known to the table only.`)
    for (const one of told) if (!live.includes(one)) report(where, `The decision ${one} is known to the log only.`)
    const places = placesDigest(row.places ?? [])
    const { digest, state, factors, approvers, excluded, about, requester, expires_at, bypassed_by, bypass_reason } = row
    const facts: Facts = {
      digest,
      state,
      factors,
      approvers: approvers ?? [],
      places,
      excluded: [...excluded].sort(),
      about: listed(about),
      requester,
    }
    found.push([where, { ...facts, expiresAt: timeText(expires_at), bypassedBy: bypassed_by, bypassReason: bypass_reason }])
  }
  return found
}

function isWhole(row: rows.ApprovalRow): boolean {
  try {
    const what = JSON.parse(row.what) as Json
    return (
      checkApprovable({ action: row.action as Approvable['action'], subject: row.subject, what, words: row.words }).digest === row.digest
    )
  } catch (error) {
    if (error instanceof SyntaxError || isCode(error, 'bad_input') || isCode(error, 'internal')) return false
    throw error
  }
}
