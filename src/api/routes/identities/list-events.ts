import { z } from 'zod'
import { listCredentials, resourcesByName } from '../../../credential/index.ts'
import { LOGS, type TimelineEvent, timeline } from '../../../evidence/index.ts'
import { identitiesById, readIdentity } from '../../../identity/index.ts'
import { LIMITS } from '../../../kernel/index.ts'
import type { Allowed } from '../../../policy/index.ts'
import type { ApiParts } from '../../parts.ts'
import { route } from '../../route.ts'
import { cut, Name, pageOf, pageQuery } from '../../views.ts'

const Event = z
  .object({
    id: z.int(),
    log: z.enum(LOGS),
    type: z.string(),
    words: z.string().describe('What people read for its type.'),
    at: z.iso.datetime(),
    actor: z.string(),
    actorName: z.string().nullable().describe('The name of the identity that did it; null if none did, or it is gone.'),
    subject: z.string(),
    links: z.record(z.string(), z.string()),
    data: z.record(z.string(), z.unknown()),
    index: z.int().nullable().describe('Its place in the log; null until it is numbered.'),
  })
  .meta({ id: 'TimelineEvent' })

export const listIdentityEvents = route({
  method: 'GET',
  path: '/v1/identities/:identity/events',
  summary:
    'What happened to an identity, or to its credentials (its first 500 by name), the latest first. The second needs rotation:read too.',
  action: 'identity:read',
  params: z.strictObject({ identity: Name }),
  query: z.strictObject({
    log: z.enum(LOGS).default('identity'),
    ...pageQuery,
  }),
  answers: { 200: { what: 'One page', schema: pageOf(Event) } },
  problems: ['not_found'],
  handle: async ({ parts, ctx, may, principal, params, query: { log, limit, after } }) => {
    // Directory rights are not credential rights: who may know of the identity may not know of its credentials by that.
    const seen = log === 'credential' ? parts.policies.allow(ctx, principal, 'rotation:read') : null
    const { id } = await readIdentity(parts, ctx, may, params.identity)
    const credentials = seen === null ? [] : await credentialsOf(parts, seen, id)
    const found = await timeline(
      parts.store,
      { log, identity: id, credentials },
      { before: after === undefined ? null : Number(after), limit: limit + 1 },
    )
    const { items, next } = cut(found, limit, (last) => String(last.id))
    return { status: 200, body: { items: await withNames(parts, items), next } }
  },
})

/** Those that the asker may read. */
async function credentialsOf({ store }: ApiParts, may: Allowed<'rotation:read'>, identity: string) {
  const found = await listCredentials(store, { identity, limit: LIMITS.pageMax })
  const resources = await resourcesByName(
    store,
    found.map(({ name }) => name),
  )
  return found.filter(({ name }) => may.can(resources.get(name) ?? { type: 'credential', id: '' }))
}

const OF_IDENTITY = /^(?:person|workload|machine|agent):([0-9a-f-]{36})$/

async function withNames({ store }: ApiParts, events: readonly TimelineEvent[]) {
  const ids = new Map(events.map(({ actor }) => [actor, OF_IDENTITY.exec(actor)?.[1] ?? null]))
  const names = await identitiesById(store, [...new Set([...ids.values()].flatMap((id) => id ?? []))])
  return events.map(({ v: _version, ...event }) => ({ ...event, actorName: names.get(ids.get(event.actor) ?? '')?.name ?? null }))
}
