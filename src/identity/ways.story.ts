/** What the identity log says of ways in that have rows of their own: codes, directories, changes that wait, who may hold both hands. */
import type { EventBody } from '../evidence/index.ts'
import type { Json } from '../kernel/index.ts'
import type { Facts } from './rights.story.ts'

/** Folded from the first event on. What events from before this version did not tell is counted, and not compared. */
export interface WaysStory {
  /** By what it is called in a finding. */
  readonly things: Map<string, Facts>
  /** Good codes, by identity; null: made before codes were told. A row may be missing: used, or over. */
  readonly codes: Map<string, Facts | null>
  /** Of each SCIM provider, tokens that were made before they were told one by one. */
  readonly untoldTokens: Map<string, number>
  readonly revokedTokens: Set<string>
  /** Who may hold both hands: identity → reasons. */
  readonly forced: Map<string, Set<string>>
  /** Changes that were queued before their ids were told, and entitlements that came and went: what → how often. */
  readonly untoldChanges: Map<string, number>
  readonly entitlements: Map<string, number>
  /** Identity → who said that it exists. */
  readonly sources: Map<string, string>
  /** Proposed sets of policies that are proposed still. */
  readonly proposed: Set<string>
  readonly faults: { readonly where: string; readonly what: string }[]
}

export function newWays(): WaysStory {
  return {
    things: new Map(),
    codes: new Map(),
    untoldTokens: new Map(),
    revokedTokens: new Set(),
    forced: new Map(),
    untoldChanges: new Map(),
    entitlements: new Map(),
    sources: new Map(),
    proposed: new Set(),
    faults: [],
  }
}

export const way = {
  code: (identity: string) => `enrolment code of identity ${identity}`,
  scimProvider: (id: string) => `SCIM provider ${id}`,
  scimToken: (id: string) => `SCIM token ${id}`,
  scimUser: (id: string) => `SCIM user ${id}`,
  change: (id: Json) => `change of status ${id}`,
  proposal: (id: string) => `proposed policies ${id}`,
  hands: (identity: string) => `both hands of identity ${identity}`,
  former: (identity: string, person: string) => `former owner of identity ${identity}: ${person}`,
}

export const changeText = (identity: string, change: Json, reason: Json): string => JSON.stringify([identity, change, reason])
export const entitlementText = (identity: string, change: string, { system, account, role }: Record<string, Json | undefined>): string =>
  JSON.stringify([identity, change, system, account, role])

type Take = (story: WaysStory, event: EventBody) => void

const count = (of: Map<string, number>, key: string) => void of.set(key, (of.get(key) ?? 0) + 1)
const listOf = (value: Json | undefined): readonly Json[] => (Array.isArray(value) ? value : [])

function change(kind: string): Take {
  return (story, { links: { identity = '' }, data }) => {
    const { change: id, reason = null } = data
    if (id === undefined) count(story.untoldChanges, changeText(identity, kind, reason))
    else story.things.set(way.change(id), { identity, change: kind, reason, handled: false })
  }
}

function alter(story: WaysStory, key: string, facts: Facts): void {
  const told = story.things.get(key)
  if (told !== undefined) story.things.set(key, { ...told, ...facts })
}

function token(story: WaysStory, { links: { scim_provider: provider = '' }, data }: EventBody): void {
  if (data.token === undefined) {
    count(story.untoldTokens, provider)
    return
  }
  const facts = { provider, digest: data.digest, makers: data.makers, expiresAt: null, revoked: false, revokedAt: null }
  story.things.set(way.scimToken(String(data.token)), facts)
}

const TAKE: Readonly<Record<string, Take>> = {
  'enrolment_code.made': ({ codes }, { links: { identity = '' }, data }) => {
    codes.set(identity, data.digest === undefined ? null : { digest: data.digest, expiresAt: data.expiresAt })
  },
  'passkey.enrolled': ({ codes, faults }, { links: { identity = '', passkey = '' }, data }) => {
    if (data.by !== 'code') return
    if (!codes.delete(identity)) faults.push({ where: `passkey ${passkey}`, what: 'It was enrolled by a code that no event tells of.' })
  },
  'scim_provider.added': (story, event) => {
    const { links, data, subject } = event
    const { tenancy, offboardAfterSeconds } = data
    story.things.set(way.scimProvider(links.scim_provider ?? ''), { name: subject, tenancy, offboardAfterSeconds })
    token(story, event)
  },
  'scim_provider.token_rotated': (story, event) => {
    for (const id of listOf(event.data.ended)) alter(story, way.scimToken(String(id)), { expiresAt: event.data.oldEndsAt })
    token(story, event)
  },
  'scim_provider.revoked': (story, { data }) => {
    for (const id of listOf(data.tokens)) {
      story.revokedTokens.add(String(id))
      alter(story, way.scimToken(String(id)), { revoked: true, revokedAt: data.revokedAt })
    }
  },
  'scim_user.stands': ({ things }, { links, data }) => {
    things.set(way.scimUser(links.scim_user ?? ''), { identity: links.identity, provider: links.scim_provider, ...data })
  },
  'scim_user.dropped': ({ things }, { links }) => void things.delete(way.scimUser(links.scim_user ?? '')),
  'identity.joined': ({ sources }, { links, data }) => void sources.set(links.identity ?? '', String(data.source)),
  'identity.suspended': change('suspended'),
  'identity.resumed': change('resumed'),
  'identity.offboarded': change('offboarded'),
  'identity_change.handled': (story, { data }) => alter(story, way.change(data.change ?? ''), { handled: true }),
  'identity.entitlements_changed': ({ entitlements }, { links: { identity = '' }, data }) => {
    for (const kind of ['added', 'removed']) {
      for (const one of listOf(data[kind])) count(entitlements, entitlementText(identity, kind, one as Record<string, Json>))
    }
  },
  'identity.stood_behind': ({ things }, { links: { identity = '' }, data }) => {
    for (const person of listOf(data.people)) things.set(way.former(identity, String(person)), { until: data.until })
  },
  'identity.removed': ({ things }, { links: { identity = '' } }) => {
    for (const key of things.keys()) if (key.startsWith(way.former(identity, ''))) things.delete(key)
  },
  'role.forced': ({ forced }, { links, data }) => {
    for (const id of [...listOf(data.identities).map(String), ...(links.identity === undefined ? [] : [links.identity])]) {
      forced.set(id, (forced.get(id) ?? new Set()).add(String(data.reason)))
    }
  },
  'policy.proposed': ({ things, proposed }, { links: { policySet = '' }, data }) => {
    const { digest, base, proposers, hands } = data
    things.set(way.proposal(policySet), { digest, base, proposers, hands })
    proposed.add(policySet)
  },
  'policy.activated': ({ proposed }, { links: { policySet = '' } }) => void proposed.delete(policySet),
}

/** Takes one event in. */
export function followWays(story: WaysStory, event: EventBody): void {
  if (Object.hasOwn(TAKE, event.type)) TAKE[event.type]?.(story, event)
}
