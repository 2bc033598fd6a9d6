/** What the identity log says of logins, roles, policies, trust and approvals: folded from its first event. */
import type { EventBody } from '../evidence/index.ts'
import type { Json } from '../kernel/index.ts'
import { digestHex } from '../seal/index.ts'

/** Facts of one thing. What an event of an older version does not say is absent, and not compared. */
export type Facts = Record<string, Json | undefined>

/** Things by what they are called in a finding, and what is over. */
export interface Story {
  readonly things: Map<string, Facts>
  /** Decisions that count, of each request: who → what. */
  readonly decisions: Map<string, Map<string, string>>
  readonly endedSessions: Set<string>
  /** Every claim rule that there ever was: its issuer and whom it lets in. */
  readonly everRules: Map<string, string>
  /** By which rule programs did what is on record: `RULE ISSUER IDENTITY`, to the first such event. */
  readonly proofs: Map<string, string>
  /** Sessions to keep in mind: only those that have a row. */
  readonly wanted: ReadonlySet<string>
}

export function newStory(wanted: ReadonlySet<string>): Story {
  return { things: new Map(), decisions: new Map(), endedSessions: new Set(), everRules: new Map(), proofs: new Map(), wanted }
}

export const called = {
  binding: (role: string, kind: string, subject: string) => `role ${role} of ${kind} ${subject}`,
  passkey: (id: string) => `passkey ${id}`,
  provider: (id: string) => `login provider ${id}`,
  session: (id: string) => `session ${id}`,
  issuer: (id: string) => `issuer ${id}`,
  rule: (id: string) => `claim rule ${id}`,
  approvalRule: (action: string) => `approval rule of ${action}`,
  approval: (id: string) => `approval ${id}`,
  pair: (one: string, other: string) => `same person ${[one, other].sort().join(' ')}`,
  policies: () => 'policies in force',
}

/** What the log keeps of a session: a digest of the stored hash, which is itself one of 256 random bits. */
export const sessionDigest = (hashHex: string): string => digestHex(`session ${hashHex}`)

/** What the log keeps of a passkey: by which it is found, and what its signatures are checked with. */
export const passkeyDigest = (credentialId: string, publicKeyHex: string): string =>
  digestHex(JSON.stringify(['passkey', credentialId, publicKeyHex]))

/** Of a one-time code, and of a SCIM token: a digest of the stored hash, which is itself one of random bits. */
export const codeDigest = (hashHex: string): string => digestHex(`enrolment code ${hashHex}`)
export const scimTokenDigest = (hashHex: string): string => digestHex(`scim token ${hashHex}`)

/** Of a sealed secret, as it is stored: to wrap its key anew does not change it. Null where there is none. */
export const sealedDigest = (sealed: Uint8Array | null): string | null =>
  sealed === null ? null : digestHex(`sealed ${Buffer.from(sealed).toString('hex')}`)

/** Of texts that a directory keeps of one person. */
export const addressesDigest = (user: string, texts: readonly string[]): string =>
  digestHex(JSON.stringify(['scim', user, ...[...texts].sort()]))

/** Of who may decide, factor by factor. */
export const placesDigest = (places: readonly (readonly [position: number, identity: string])[]): string =>
  digestHex(JSON.stringify(['places', ...places.map(([position, identity]) => `${position} ${identity}`).sort()]))

/** Of who would hold both hands by a proposed set of policies. */
export const handsDigest = (found: readonly { readonly kind: string; readonly id: string }[]): string =>
  digestHex(JSON.stringify(['both hands', ...found.map(({ kind, id }) => `${kind} ${id}`).sort()]))

/** One live decision, as text. */
export const decisionText = (decision: Json, aal: Json, passkey: Json | undefined): string =>
  JSON.stringify([decision, aal, passkey ?? null])

type Take = (story: Story, event: EventBody) => void

const put = (key: string, facts: Facts) => (story: Story) => void story.things.set(key, facts)
const drop = (key: string) => (story: Story) => void story.things.delete(key)
const without = (data: EventBody['data'], ...keys: string[]): Facts =>
  Object.fromEntries(Object.entries(data).filter(([key]) => !keys.includes(key)))

function subjectOf({ links, data }: EventBody): [string, string] {
  const kind = String(data.to ?? data.from)
  return [kind, links[kind] ?? '']
}

/** Somebody else answers for it from then on. */
function confirm({ things }: Story, key: string, { data }: EventBody): void {
  things.set(key, { ...things.get(key), confirmed: data.confirmed ?? null })
}

function approval(state: string, change: (facts: Facts, event: EventBody) => Facts = (facts) => facts): Take {
  return (story, event) => {
    const key = called.approval(event.links.approval ?? '')
    story.things.set(key, { ...change(story.things.get(key) ?? {}, event), state })
  }
}

function decide({ decisions }: Story, { links, data }: EventBody, taken: boolean): void {
  const id = links.approval ?? ''
  const of = decisions.get(id) ?? new Map<string, string>()
  decisions.set(id, of)
  if (taken) of.delete(String(data.by))
  else of.set(String(data.by), decisionText(data.decision ?? null, data.aal ?? null, data.passkey))
}

const TAKE: Readonly<Record<string, Take>> = {
  // Before there were policies, the first token held the role admin; a migration bound what took its place.
  'token.created': (story, { links, data }) => {
    if (data.role === 'admin') put(called.binding('bootstrap-admin', 'token', links.token ?? ''), {})(story)
  },
  'role.bound': (story, event) => put(called.binding(event.subject, ...subjectOf(event)), {})(story),
  'role.unbound': (story, event) => drop(called.binding(event.subject, ...subjectOf(event)))(story),
  'passkey.enrolled': (story, event) => {
    const { passkey: name, deviceBound, digest, cameBy } = event.data
    put(called.passkey(event.links.passkey ?? ''), { identity: event.links.identity, name, deviceBound, digest, cameBy })(story)
  },
  'passkey.kept': (story, event) => {
    const key = called.passkey(event.links.passkey ?? '')
    put(key, { ...story.things.get(key), cameBy: null })(story)
  },
  'passkey.removed': (story, event) => drop(called.passkey(event.links.passkey ?? ''))(story),
  'login_provider.added': (story, event) =>
    put(called.provider(event.links.login_provider ?? ''), { name: event.subject, ...without(event.data), confirmed: null })(story),
  'login_provider.confirmed': (story, event) => confirm(story, called.provider(event.links.login_provider ?? ''), event),
  'login_provider.removed': (story, event) => drop(called.provider(event.links.login_provider ?? ''))(story),
  'session.started': (story, event) => {
    const id = event.links.session ?? ''
    const { aal, authenticatedAt, digest, method } = event.data
    const { identity, login_provider: provider = null, passkey = null } = event.links
    const facts = { identity, aal, authenticatedAt, digest, method, provider, passkey }
    if (story.wanted.has(id)) put(called.session(id), facts)(story)
  },
  'session.ended': ({ wanted, endedSessions }, { links: { session = '' } }) => {
    if (wanted.has(session)) endedSessions.add(session)
  },
  'issuer.added': (story, event) =>
    put(called.issuer(event.links.issuer ?? ''), { name: event.subject, ...without(event.data), confirmed: null })(story),
  'issuer.confirmed': (story, event) => confirm(story, called.issuer(event.links.issuer ?? ''), event),
  'issuer.removed': (story, event) => {
    drop(called.issuer(event.links.issuer ?? ''))(story)
    for (const [key, facts] of story.things) if (facts.issuer === event.links.issuer) story.things.delete(key)
  },
  'issuer.mapped': (story, { links, data }) => {
    const { rule = '', issuer, identity } = links
    story.everRules.set(rule, `${issuer} ${identity}`)
    story.things.set(called.rule(rule), { actsFor: null, ...without(data), issuer, identity })
  },
  'issuer.unmapped': (story, event) => drop(called.rule(event.links.rule ?? ''))(story),
  'approval.rule_set': (story, event) => put(called.approvalRule(event.subject), without(event.data, 'reason'))(story),
  'approval.rule_removed': (story, event) => drop(called.approvalRule(event.subject))(story),
  'approval.requested': (story, event) => {
    const { approvers, ...rest } = without(event.data)
    const sorted = Array.isArray(approvers) ? approvers.map(String).sort() : approvers
    put(called.approval(event.links.approval ?? ''), {
      // Those of before this was kept are about nobody.
      about: [],
      ...rest,
      approvers: sorted,
      bypassedBy: null,
      bypassReason: null,
      state: 'requested',
    })(story)
  },
  'approval.decided': (story, event) => decide(story, event, false),
  'approval.taken_back': (story, event) => decide(story, event, true),
  'approval.fell_short': approval('requested'),
  'approval.approved': approval('approved'),
  'approval.bypassed': approval('bypassed', (facts, { data }) => ({ ...facts, bypassedBy: data.by, bypassReason: data.reason })),
  'approval.rejected': approval('rejected'),
  'approval.withdrawn': approval('withdrawn'),
  'approval.expired': approval('expired'),
  'approval.consumed': approval('consumed'),
  'identity.same_person': (story, { links }) => story.things.set(called.pair(links.identity ?? '', links.other ?? ''), { same: true }),
  'identity.other_person': (story, { links }) => story.things.set(called.pair(links.identity ?? '', links.other ?? ''), { same: false }),
  'identity.removed': (story, { links: { identity = '-' } }) => {
    // Its passkeys, and what was said of it, go with it.
    for (const [key, facts] of story.things) {
      if (key.startsWith('same person ') ? key.includes(identity) : key.startsWith('passkey ') && facts.identity === identity)
        story.things.delete(key)
    }
  },
  'policy.activated': (story, { links, data }) => story.things.set(called.policies(), { set: links.policySet, digest: data.digest }),
}

/** Takes one event in. */
export function follow(story: Story, event: EventBody): void {
  const { proof_rule: rule, proof_issuer: issuer } = event.links
  if (rule !== undefined) {
    const by = `${rule} ${issuer} ${/^[a-z]+:([0-9a-f-]+)/.exec(event.actor)?.[1]}`
    if (!story.proofs.has(by)) story.proofs.set(by, `${event.type} at ${event.at}`)
  }
  if (Object.hasOwn(TAKE, event.type)) TAKE[event.type]?.(story, event)
}
