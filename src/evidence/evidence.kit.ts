import { type Json, makeCtx, Secret } from '../kernel/index.ts'
import type { Store } from '../store/index.ts'
import { signHead } from './bundle.head.ts'
import type { BundleContent, BundleFilter, BundleHead, BundleLog, LogStatement } from './bundle.model.ts'
import { originOf, signCheckpoint } from './checkpoint.ts'
import { type EvidenceEvent, eventLeafHash, type LogName, sealEvent } from './event.ts'
import { consistencyProof, EMPTY_ROOT, grow, type Hash, inclusionProof, nodeKey, treeHead } from './merkle.ts'
import { formatVerifierKey, type Signer, signerFromSeed } from './note.ts'
import { sequence } from './sequence.ts'

/** For tests only: a fleet's evidence of the shape in which the other areas write it, and bundles of it made without a database. */

const START_MS = Date.UTC(2026, 10, 21, 9, 20, 32, 123)

/** A signer that is always the same. */
export function testSigner(name = 'rekey.example'): Signer {
  return signerFromSeed(name, new Secret(new Uint8Array(32).fill(7)))
}

/** A context whose clock goes on by 37 ms at each reading. */
export function tickingCtx(actor = 'worker:1') {
  let ms = START_MS
  const now = () => {
    ms += 37
    return new Date(ms)
  }
  return makeCtx(actor, 'test', { clock: { now, monotonicMs: () => ms } })
}

/** The events of one rotation from plan to proof. */
export function rotationEvents(n: number, name = `orders-api-${n}@orders-db`): EvidenceEvent[] {
  const at = (offsetMs: number) => new Date(START_MS + n * 1000 + offsetMs).toISOString()
  const links = {
    credential: `c-${n}`,
    rotation: `0199f3a2-0000-7000-8000-${String(n).padStart(12, '0')}`,
    system: 's-1',
    from: `v-${n}-1`,
    to: `v-${n}-2`,
  }
  const make = (type: string, data: { [key: string]: Json }): EvidenceEvent => ({ log: 'credential', type, subject: name, links, data })
  return [
    { ...make('rotation.planned', { reason: 'leak of ci-store', urgent: true, batch: 'b-1' }), actor: 'admin:ops' },
    make('rotation.staged', { fingerprint: 'tFxbYhjDnVApMe6L-DgOXg' }),
    make('rotation.installed', { account: 'orders_api', version: 2 }),
    make('rotation.verified', { probe: { outcome: 'accepted', code: '00000', at: at(193) } }),
    make('rotation.distributed', { consumers: ['orders-api-1', 'orders-api-2'], gapMs: 12.5 + n }),
    make('rotation.activated', { how: [{ consumer: 'orders-api-1', by: 'session 4711' }] }),
    make('rotation.retiring', {}),
    make('rotation.retired', { sessionsEnded: 2, revokedAt: at(210) }),
    make('rotation.proven_dead', {
      oldVersion: 1,
      newVersion: 2,
      old: { outcome: 'refused', code: '28P01', at: at(251) },
      control: { outcome: 'accepted', code: '00000', at: at(254) },
      sessionsLeft: 0,
      sessionsEnded: 2,
      revokedAt: at(210),
      effectiveDeadAt: at(251),
      provedDeadAt: at(254),
      gapMs: 12.5 + n,
    }),
  ]
}

/** What comes before and beside rotations, in both logs; the last one is of a type nobody knows, with a hostile name. */
export function fleetEvents(): EvidenceEvent[] {
  return [
    {
      log: 'identity',
      type: 'identity.added',
      subject: 'orders-api',
      actor: 'admin:ops',
      data: { kind: 'workload', owner: 'team-orders' },
    },
    { log: 'identity', type: 'token.created', subject: 'ops', data: { role: 'admin' } },
    { log: 'credential', type: 'fleet.applied', subject: 'fleet', actor: 'admin:ops', data: { add: 3, change: 0, removed: 0 } },
    { log: 'credential', type: 'system.added', subject: 'orders-db', links: { system: 's-1' }, data: { connector: 'postgres' } },
    {
      log: 'credential',
      type: 'credential.added',
      subject: 'orders-api-0@orders-db',
      links: { credential: 'c-0' },
      data: { accounts: ['orders_api'], strategy: 'in-place', system: 'orders-db' },
    },
    {
      log: 'credential',
      type: 'weather.changed',
      subject: '</script><script>alert(1)</script>\u202e',
      data: { __proto__x: '<!--', '"': "'&" },
    },
  ]
}

/** Somebody who is suspended and leaves: one credential ended, one rotated for others (rotation 0), one with a human. */
export function closureEvents(): EvidenceEvent[] {
  const all = { closure: 'k-1', identity: 'i-ada' }
  const of = (type: string, subject: string, credential: string, data: { [key: string]: Json }, more = {}): EvidenceEvent => {
    return { log: 'credential', type, subject, links: { ...all, credential, system: 's-1', ...more }, data }
  }
  const whole = (type: string, data: { [key: string]: Json }): EvidenceEvent => ({
    log: 'credential',
    type,
    subject: 'ada',
    links: all,
    data,
  })
  const order = (type: string, reason: string): EvidenceEvent => {
    return { log: 'identity', type, subject: 'ada', actor: 'admin:ops', links: { identity: 'i-ada' }, data: { from: 'active', reason } }
  }
  const proof = {
    values: [{ version: 1, outcome: 'refused', code: '28P01' }],
    control: { outcome: 'accepted', code: '00000' },
    mayLogIn: { ada_own: false },
    sessionsEnded: 2,
    sessionsLeft: 0,
    provedDeadAt: new Date(START_MS + 877).toISOString(),
  }
  const human = { human: 'grace', humanKind: 'person', reason: 'The account is also that of billing.', hint: 'End it by hand.' }
  return [
    order('identity.suspended', 'notice given'),
    whole('closure.opened', { goal: 'suspend', reason: 'notice given', stopped: { sessions: 2, apiTokens: 1 } }),
    of('logins.planned', 'ada-own', 'c-own', { way: 'suspend', why: 'used by nobody else', consumers: [] }),
    of('logins.planned', 'orders-api-0@orders-db', 'c-0', {
      way: 'rotate',
      why: 'also used by nightly-report',
      consumers: ['nightly-report'],
    }),
    of('logins.planned', 'vendor-key', 'c-vendor', { way: 'hand_over', why: 'its account is also that of billing', consumers: [] }),
    of('logins.handed_over', 'vendor-key', 'c-vendor', { from: 'planned', ...human }),
    of('logins.rotated', 'orders-api-0@orders-db', 'c-0', {}, { rotation: '0199f3a2-0000-7000-8000-000000000000' }),
    of('logins.suspended', 'ada-own', 'c-own', { sessionsEnded: 2 }),
    order('identity.offboarded', 'last day'),
    whole('closure.turned', { goal: 'destroy', reason: 'last day' }),
    of('logins.destroyed', 'ada-own', 'c-own', { accounts: ['ada_own'] }),
    of('logins.proven_dead', 'ada-own', 'c-own', proof),
    whole('closure.settled', { from: 'destroying', to: 'waiting' }),
  ]
}

/** An event that tells nothing but its number. */
export function numbered(n: number): EvidenceEvent {
  return { log: 'credential', type: 'test.happened', subject: `s${n}`, data: { n } }
}

/** Gives every waiting event of a database its place. Resolves with how many there were. */
export async function drain(store: Store, ctx = tickingCtx(), signer = testSigner()): Promise<number> {
  let placed = 0
  for (let more = await sequence(store, ctx, signer); more > 0; more = await sequence(store, ctx, signer)) placed += more
  return placed
}

/** A bundle's content, with checkpoints of each log at the given sizes (the last being all of it). */
export function sampleContent(
  events: readonly EvidenceEvent[],
  cuts: readonly number[] = [],
  signer: Signer = testSigner(),
): BundleContent {
  const logs = { credential: sampleLog('credential', events, cuts, signer), identity: sampleLog('identity', events, cuts, signer) }
  return signedContent(logs, { credential: null, since: null }, signer)
}

/** A content of these logs under a head that fits them: what an exporter makes that holds the whole trees. */
export function signedContent(logs: BundleContent['logs'], filter: BundleFilter, signer: Signer = testSigner()): BundleContent {
  const statement = ({ checkpoints, events }: BundleLog): LogStatement => {
    const [, size = '0', root = Buffer.from(EMPTY_ROOT).toString('base64')] = checkpoints.at(-1)?.note.split('\n') ?? []
    return { size: Number(size), root, checkpoints: checkpoints.length, events: events.length, pending: 0 }
  }
  const head: BundleHead = {
    key: formatVerifierKey(signer),
    exportedAt: new Date(START_MS + 3_600_000).toISOString(),
    filter,
    logs: { credential: statement(logs.credential), identity: statement(logs.identity) },
  }
  return { head, note: signHead(head, signer), logs }
}

function sampleLog(log: LogName, all: readonly EvidenceEvent[], cuts: readonly number[], signer: Signer): BundleLog {
  const ctx = tickingCtx()
  const sealed = all.filter((event) => event.log === log).map((event) => sealEvent(ctx, event))
  const nodes = new Map<string, Hash>()
  const read = (at: { level: number; index: number }): Hash => nodes.get(nodeKey(at)) ?? new Uint8Array()
  const leaves = sealed.map(({ text }) => eventLeafHash(text))
  for (const node of grow(0, leaves, read)) nodes.set(nodeKey(node), node.hash)
  const base64 = (hash: Hash) => Buffer.from(hash).toString('base64')
  const sizes = [...cuts.filter((cut) => cut > 0 && cut < leaves.length), leaves.length].filter((size) => size > 0)
  const checkpoints = sizes.map((size, i) => {
    const at = new Date(START_MS + 60_000 * (i + 1)).toISOString()
    const note = signCheckpoint({ origin: originOf(signer.name, log), size, root: treeHead(size, read), at }, signer)
    return { note, proof: i === 0 ? [] : consistencyProof(sizes[i - 1] ?? 0, size, read).map(base64) }
  })
  const events = sealed.map(({ body }, index) => ({ index, event: body, proof: inclusionProof(index, leaves.length, read).map(base64) }))
  return { checkpoints, events }
}
