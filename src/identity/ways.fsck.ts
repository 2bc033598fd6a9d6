/** One-time codes, directories and their tokens, changes that wait, both hands, proposals: what the tables say against the log. */
import { canonicalJson } from '../evidence/index.ts'
import { addressKey, type Json, timeText } from '../kernel/index.ts'
import type { Sql } from '../store/index.ts'
import { addressesDigest, codeDigest, type Facts, handsDigest, scimTokenDigest } from './rights.story.ts'
import { isListOfObjects, storedDigest } from './stored.ts'
import * as rows from './ways.fsck.store.ts'
import { changeText, entitlementText, type WaysStory, way } from './ways.story.ts'

/** Told what does not agree; or what is from before the log told enough of it to compare. */
export interface Reports {
  readonly finding: (where: string, what: string) => void
  readonly note: (where: string, what: string) => void
}

const AT_ONCE = 5000
const FIRST = '00000000-0000-0000-0000-000000000000'
const UNKNOWN = 'The table has it; the log knows nothing of it.'
const GONE = 'The log knows it; the table does not.'
const MISFOLDED = 'What one of its addresses is compared by is not made of that address.'
const OLDER = 'It is from before the log told of it one by one: not comparable.'

/** Compares the rows with the story, which is used up by it. */
export async function compareWays(sql: Sql, story: WaysStory, reports: Reports): Promise<void> {
  for (const { where, what } of story.faults) reports.finding(where, what)
  await compareCodes(sql, story, reports)
  await compareScim(sql, story, reports)
  await compareUsers(sql, story, reports)
  await compareChanges(sql, story, reports)
  await compareProposals(sql, story, reports)
  for (const { identity, person, until } of await rows.formerOwners(sql)) {
    const where = way.former(identity, person)
    if (!compare(where, { until: timeOf(until) }, story, reports)) reports.finding(where, UNKNOWN)
  }
  for (const { identity, reason } of await rows.bothHands(sql)) {
    if (story.forced.get(identity)?.has(reason) !== true) reports.finding(way.hands(identity), UNKNOWN)
  }
  for (const where of story.things.keys()) reports.finding(where, GONE)
}

/** What is compared is taken out of the story. False if the log knows nothing of it. */
function compare(where: string, stored: Facts, { things }: WaysStory, { finding }: Reports): boolean {
  const told = things.get(where)
  things.delete(where)
  for (const [fact, value] of told === undefined ? [] : Object.entries(stored)) {
    const [table, log] = [canonicalJson(value ?? null), canonicalJson(told?.[fact] ?? null)]
    if (told?.[fact] !== undefined && table !== log) finding(where, `Its ${fact} is ${table} by the table, ${log} by the log.`)
  }
  return told !== undefined
}

const timeOf = (at: Date | null): Json => timeText(at)

async function compareCodes(sql: Sql, story: WaysStory, reports: Reports): Promise<void> {
  for (const { identity, hash, expires_at } of await rows.codes(sql)) {
    const where = way.code(identity)
    const told = story.codes.get(identity)
    story.codes.delete(identity)
    if (told === undefined) reports.finding(where, UNKNOWN)
    else if (told === null) reports.note(where, OLDER)
    else {
      story.things.set(where, told)
      compare(where, { digest: codeDigest(hash), expiresAt: timeOf(expires_at) }, story, reports)
    }
  }
}

async function compareScim(sql: Sql, story: WaysStory, reports: Reports): Promise<void> {
  for (const { id, ...facts } of await rows.scimProviders(sql)) {
    if (!compare(way.scimProvider(id), facts, story, reports)) reports.finding(way.scimProvider(id), UNKNOWN)
  }
  for (const { id, provider, hash, makers, expires_at, revoked_at } of await rows.scimTokens(sql)) {
    const where = way.scimToken(id)
    const revoked = revoked_at !== null
    const ends = { expiresAt: timeOf(expires_at), revoked, revokedAt: timeOf(revoked_at) }
    const facts = { provider, digest: scimTokenDigest(hash), makers, ...ends }
    if (compare(where, facts, story, reports)) continue
    // As many as were made before tokens were told one by one, and no more.
    const left = story.untoldTokens.get(provider) ?? 0
    story.untoldTokens.set(provider, left - 1)
    if (left <= 0) reports.finding(where, UNKNOWN)
    else if (story.revokedTokens.has(id) && !revoked) reports.finding(where, 'The log says that it was revoked; by the table it is good.')
    else reports.note(where, OLDER)
  }
  for (const { id, provider, source } of await rows.strayGroups(sql)) {
    reports.finding(`SCIM group ${id}`, `Its provider is ${provider ?? 'nobody'} by the table; its team is of ${source ?? 'nobody'}.`)
  }
}

async function compareUsers(sql: Sql, story: WaysStory, reports: Reports): Promise<void> {
  let older = 0
  for (let after = FIRST; ; ) {
    const found = await rows.scimUsers(sql, after, AT_ONCE)
    for (const row of found) {
      const where = way.scimUser(row.id)
      if (row.emails?.some(([said, , address]) => address !== addressKey(said))) reports.finding(where, MISFOLDED)
      if (compare(where, userFacts(row), story, reports)) continue
      // One from before this was told is of a person whom this very directory brought in.
      if (story.sources.get(row.identity) === row.source) older++
      else reports.finding(where, UNKNOWN)
    }
    const last = found.at(-1)
    if (last === undefined) break
    after = last.id
  }
  if (older > 0) reports.note('SCIM users', `${older} were not changed since the log tells how they stand: not comparable.`)
  for (const { user } of await rows.strayEmails(sql)) reports.finding(way.scimUser(user), 'It has addresses, and does not exist.')
}

function userFacts({ id, identity, provider, name_key, external_id, emails, offboard_at, created_at, ...rest }: rows.ScimUserRow): Facts {
  const { active, suspended, deleted } = rest
  const names = addressesDigest(id, [name_key, external_id ?? ''])
  const since = (emails ?? []).map(([address, micros]) => `${address} ${timeText(new Date(micros / 1000))}`)
  const addresses = addressesDigest(id, since)
  const createdAt = timeOf(created_at)
  return { identity, provider, active, suspended, deleted, offboardAt: timeOf(offboard_at), createdAt, names, addresses }
}

async function compareChanges(sql: Sql, story: WaysStory, reports: Reports): Promise<void> {
  for (const { id, ...facts } of await rows.statusChanges(sql)) {
    if (compare(way.change(id), facts, story, reports)) continue
    if (!takeOne(story.untoldChanges, changeText(facts.identity, facts.change, facts.reason))) reports.finding(way.change(id), UNKNOWN)
  }
  for (const [text, times] of story.untoldChanges) if (times > 0) reports.finding(`change of status ${text}`, GONE)
  for (const { identity, change, ...entitlement } of await rows.entitlementChanges(sql)) {
    const text = entitlementText(identity, change, entitlement)
    if (!takeOne(story.entitlements, text)) reports.finding(`change of an entitlement ${text}`, UNKNOWN)
  }
  // What somebody joins with is told and not queued; only what went is acted on.
  for (const [text, times] of story.entitlements) {
    if (times > 0 && (JSON.parse(text) as Json[])[1] === 'removed') reports.finding(`change of an entitlement ${text}`, GONE)
  }
}

function takeOne(of: Map<string, number>, key: string): boolean {
  const left = of.get(key) ?? 0
  of.set(key, left - 1)
  return left > 0
}

async function compareProposals(sql: Sql, story: WaysStory, reports: Reports): Promise<void> {
  for (const row of await rows.proposals(sql)) {
    const where = way.proposal(row.id)
    const digest = storedDigest(row.files)
    if (digest !== row.digest) reports.finding(where, 'Its digest is not that of its files.')
    if (!story.proposed.has(row.id)) reports.finding(where, 'By the log it is not proposed.')
    compare(
      where,
      { digest: row.digest, base: row.base, proposers: row.proposers, hands: isListOfObjects(row.hands) ? handsDigest(row.hands) : null },
      story,
      reports,
    )
  }
  // What was brought into force or replaced is compared as what is in force, or decides nothing any more.
  for (const where of story.things.keys()) {
    const id = where.startsWith(way.proposal('')) ? where.slice(way.proposal('').length) : null
    if (id !== null && !story.proposed.has(id)) story.things.delete(where)
  }
}
