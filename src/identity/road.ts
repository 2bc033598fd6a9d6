/** What a leaver made that goes on letting others in: found, told, and taken over by somebody who answers for it. */
import { append } from '../evidence/index.ts'
import { type Ctx, RekeyError, someOf } from '../kernel/index.ts'
import type { Allowed, Principal } from '../policy/index.ts'
import type { Sql, Store, Tx } from '../store/index.ts'
import { makersBehind, refuseOneself } from './behind.ts'
import { queueEscalation } from './notify.queue.ts'
import { checkReason } from './record.model.ts'
import * as rows from './road.store.ts'
import { SECURITY_CONTACT } from './team.model.ts'
import { notActive } from './token.store.ts'

/** A way in, or to be told, that somebody made. */
export interface Road {
  readonly kind: rows.RoadKind
  readonly id: string
  readonly name: string
  /** What it is, as a noun with its name: `issuer ci`. */
  readonly called: string
  /** What they can do by it, as a sentence about `makers`. */
  readonly detail: string
  /** Who they are, by name. */
  readonly makers: readonly string[]
  /** Its tokens are refused, for identities for which nobody else answers: an issuer whose keys came with it. */
  readonly stops: boolean
  readonly since: Date
}

const NOUNS = { issuer: 'issuer', directory: 'directory', login: 'login provider', channel: 'channel' } as const
const PARTS = { issuer: 'rules that let in', login: 'the links of', directory: '', channel: '' } as const
const SECRETS = {
  issuer: 'gave it its keys: for what nobody else answers its tokens are refused until somebody else confirms it',
  directory: 'made its token, and may know it',
  login: 'added it, with the secret by which Rekey asks it',
  channel: 'added it, and may know its key',
} as const
const NAMED = 5

function roadOf({ kind, id, name, makers, whole, lets_in, secret, since }: rows.RoadRow): Road {
  const letsIn = lets_in ?? []
  const parts = letsIn.length === 0 ? [] : [`made ${PARTS[kind]} ${someOf(letsIn, NAMED)}`]
  const does = [...(whole ? [secret ? SECRETS[kind] : 'added it'] : []), ...parts].join('; ')
  const called = `${NOUNS[kind]} ${name}`
  return { kind, id, name, called, detail: does, makers, stops: kind === 'issuer' && whole && secret, since }
}

/**
 * Roads for which nobody answers: who made them is suspended, has left or is gone, and nobody who is active has confirmed them since. Some
 * after the one with this id, and the last one's id (null at the end).
 */
export async function leftRoads(
  sql: Sql,
  { after, limit }: { readonly after: string | null; readonly limit: number },
): Promise<{ readonly found: Road[]; readonly last: string | null }> {
  const found = await rows.roadsLeft(sql, after, limit)
  return { found: found.map(roadOf), last: found.length < limit ? null : (found.at(-1)?.id ?? null) }
}

/** Roads that an identity made and for which nobody would answer if it left. */
export async function roadsMadeBy(sql: Sql, identity: string): Promise<Road[]> {
  return (await rows.roadsOf(sql, identity)).map(roadOf)
}

/**
 * Tells the security contact what somebody who has just left for good goes on knowing or holding (`identity.roads_left`, and a notice), in
 * the transaction that ends them.
 */
export async function tellRoads(tx: Tx, ctx: Ctx, { id, name }: { readonly id: string; readonly name: string }): Promise<void> {
  const roads = await roadsMadeBy(tx, id)
  if (roads.length === 0) return
  const named = roads.map(({ called }) => called)
  const links = { identity: id }
  const data = { roads: named.slice(0, 50), count: roads.length }
  await append(tx, ctx, [{ log: 'identity', type: 'identity.roads_left', subject: name, links, data }])
  const system = someOf(named, NAMED)
  await queueEscalation(tx, [{ kind: 'team', id: SECURITY_CONTACT }], { event: 'roads_left', id, subject: name, system })
}

const EVENTS = { issuer: 'issuer.confirmed', login: 'login_provider.confirmed', channel: 'channel.confirmed' } as const
const LINKS = { issuer: 'issuer', login: 'login_provider', channel: 'channel' } as const

/** What is confirmed, by whom, and why. */
export interface Confirming {
  readonly by: Principal
  readonly name: string
  readonly reason: string
}

/** Somebody answers for an issuer and the rules that it has, whoever made them (`issuer.confirmed`). Throws as `confirm` does. */
export function confirmIssuer(store: Store, ctx: Ctx, _may: Allowed<'issuer:configure'>, asked: Confirming): Promise<void> {
  return confirm(store, ctx, 'issuer', asked)
}

/** Somebody answers for a login provider and the links that it has (`login_provider.confirmed`). Throws as `confirm` does. */
export function confirmLoginProvider(store: Store, ctx: Ctx, _may: Allowed<'login:configure'>, asked: Confirming): Promise<void> {
  return confirm(store, ctx, 'login', asked)
}

/** Somebody answers for a channel of notices (`channel.confirmed`). Throws as `confirm` does. */
export function confirmChannel(store: Store, ctx: Ctx, _may: Allowed<'notify:configure'>, asked: Confirming): Promise<void> {
  return confirm(store, ctx, 'channel', asked)
}

/**
 * It goes on, and who confirms it answers for it as long as all who stand behind that are active. Its makers stay its makers: they still
 * know what they know. Throws `not_found`; `forbidden` where nobody on record stands behind who asks, or somebody who is not active does,
 * and for another identity, a token or a program of somebody who made it and is not active.
 */
async function confirm(store: Store, ctx: Ctx, kind: rows.Confirmable, { by, name, reason }: Confirming): Promise<void> {
  checkReason(reason)
  await store.inTx(async (tx) => {
    const id = await rows.lockRoad(tx, kind, name)
    if (id === null) throw new RekeyError('not_found', `There is no such ${NOUNS[kind]}.`)
    const confirmed = await makersBehind(tx, by)
    if (confirmed === null) {
      throw new RekeyError('forbidden', 'Nobody is on record who would answer for it.', { hint: LOGGED_IN })
    }
    const left = await rows.leaversOf(tx, kind, id)
    await refuseOneself(tx, by, left, 'Who has left does not answer for it, by whatever identity, token or program.', 'Somebody else must.')
    const gone = await notActive(tx, confirmed)
    if (gone.length > 0) {
      throw new RekeyError('forbidden', `Who stands behind this is not active, and may know its token: ${someOf(gone, NAMED)}.`, {
        hint: LOGGED_IN,
      })
    }
    await rows.confirmRoad(tx, kind, id, confirmed)
    const links = { [LINKS[kind]]: id }
    await append(tx, ctx, [{ log: 'identity', type: EVENTS[kind], subject: name, links, data: { reason, confirmed } }])
  })
}

const LOGGED_IN = 'Confirm it logged in.'
