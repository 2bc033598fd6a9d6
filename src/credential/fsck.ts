import { type EventBody, eachEvent } from '../evidence/index.ts'
import { timeText } from '../kernel/index.ts'
import type { Keyring } from '../keys/index.ts'
import type { Store } from '../store/index.ts'
import { compareClosures, followClosures, newToldClosures, type ToldClosures } from './fsck.closure.ts'
import { followInventory, type Inventoried, inventoryFindings } from './fsck.inventory.ts'
import { checkSealed } from './fsck.sealed.ts'
import { type RotationRow, rotationRows, versionRows } from './fsck.store.ts'
import { compareVersionRow, followVersionRows, type ToldVersion } from './fsck.versions.ts'
import { rotationDigest } from './record.ts'
import { ENDS, NEXT, STATES, type State } from './rotation.model.ts'

/** Something that does not agree. */
interface Finding {
  readonly where: string
  readonly what: string
}

/** What the log says of one rotation so far. */
interface Told {
  state: State
  readonly credential: string
  readonly subject: string
  readonly startedBy: string
  /** The digest of its row, once it has ended. */
  record: string | null
  /** Who overrode its activation, and why, as the row keeps it; null: nobody. */
  override: string | null
  /** True while sessions of logins that were under way are still to be looked for. */
  recheck: boolean
}

/** What the log says, folded from its events. Only ids, states, times and digests: flat enough for a million rotations. */
interface Story {
  readonly rotations: Map<string, Told>
  /** When each version was proven dead. */
  readonly dead: Map<string, string>
  readonly shredded: Set<string>
  /** What their rows must say. */
  readonly versions: Map<string, ToldVersion>
  /** The version in use, by credential. */
  readonly current: Map<string, string>
  readonly removed: Set<string>
  /** The root credential of each system, by its name: it goes with its system, without an event of its own. */
  readonly roots: Map<string, string>
  readonly items: Inventoried
  /** Versions whose end is on record as not provable. */
  readonly unprovable: Set<string>
  readonly closures: ToldClosures
  readonly givenUp: (Finding & { readonly credential: string })[]
}

/** Where a rotation stands after an event of it; null for events that change no state. */
function stateAfter(event: EventBody): State | null {
  const { data } = event
  if (event.type === 'rotation.retried') return stateOf(data.from)
  if (event.type === 'rotation.undo_requested') return 'undoing'
  if (event.type === 'override.recorded') return data.kind === 'irrevocable' ? 'irrevocable' : 'distributed'
  return event.type.startsWith('rotation.') ? stateOf(event.type.slice('rotation.'.length)) : null
}

function stateOf(text: unknown): State | null {
  return STATES.find((state) => state === text) ?? null
}

function follow(story: Story, event: EventBody, report: (where: string, what: string) => void): void {
  followInventory(story.items, event)
  followClosures(story.closures, event, report)
  const { rotation, credential, from, to, version } = event.links
  followVersionRows(story.versions, event, story.current)
  if (event.type === 'credential.removed' && credential !== undefined) story.removed.add(credential)
  if (event.type === 'version.declared' && credential !== undefined && event.subject.startsWith('root@'))
    story.roots.set(event.subject, credential)
  if (event.type === 'system.removed') story.removed.add(story.roots.get(`root@${event.subject}`) ?? '')
  if (event.type === 'version.declared' && credential !== undefined && version !== undefined) story.current.set(credential, version)
  if (event.type === 'version.shredded' && version !== undefined) story.shredded.add(version)
  followVersions(story, event)
  const rechecked = event.type === 'rotation.rechecked' && rotation !== undefined ? story.rotations.get(rotation) : undefined
  if (rechecked !== undefined) rechecked.recheck = false
  const state = rotation === undefined ? null : stateAfter(event)
  if (rotation === undefined || credential === undefined || state === null) return
  const told = story.rotations.get(rotation)
  const where = `rotation ${rotation} of ${event.subject}`
  if (told === undefined && state !== 'planned') report(where, `The log begins with ${state}, not with planned.`)
  const same = told?.state === 'distributed' && state === 'distributed'
  if (told !== undefined && !same && !NEXT[told.state].includes(state)) report(where, `The log goes from ${told.state} to ${state}.`)
  const { stored } = event.data as { stored?: { rotation?: string; recheck?: boolean } }
  const startedBy = told?.startedBy ?? event.actor
  const place = { credential: told?.credential ?? credential, subject: event.subject, startedBy }
  const override = overrideOf(event) ?? told?.override ?? null
  story.rotations.set(rotation, { state, ...place, override, record: stored?.rotation ?? null, recheck: stored?.recheck === true })
  if (state === 'verified' && to !== undefined) story.current.set(credential, to)
  if (state === 'undone' && from !== undefined) story.current.set(credential, from)
  if (state === 'proven_dead' && from !== undefined) story.dead.set(from, String(event.data.provedDeadAt))
}

/** What happens to versions outside of rotations: a root value that was told, and the end of a system that was given up. */
function followVersions(story: Story, { type, links, data, actor, subject }: EventBody): void {
  const { credential, from, to, version } = links
  if (type === 'root.set' && credential !== undefined && to !== undefined) {
    story.current.set(credential, to)
    if (from !== undefined && typeof data.provedDeadAt === 'string') story.dead.set(from, data.provedDeadAt)
    else if (from !== undefined) story.unprovable.add(from)
  }
  if (type.startsWith('logins.') && credential !== undefined) followEnds(story, type, credential, data)
  if (type === 'rotation.not_provable' && from !== undefined) story.unprovable.add(from)
  if ((type !== 'version.not_provable' && type !== 'version.irrevocable') || version === undefined || credential === undefined) return
  if (type === 'version.not_provable') story.unprovable.add(version)
  if (story.current.get(credential) === version) story.current.delete(credential)
  const end = type === 'version.not_provable' ? 'nobody can prove whether it is dead' : 'it was accepted when the system was given up'
  story.givenUp.push({ credential, where: `version ${data.version} of ${subject}`, what: `${end}; ${actor} said: ${data.reason}.` })
}

/** A closure's end leaves no version in use: each is proven dead, or nobody can prove or revoke it. */
function followEnds(story: Story, type: string, credential: string, data: EventBody['data']): void {
  const ids = (value: unknown): string[] => (Array.isArray(value) ? value.map(String) : [])
  const dead = type === 'logins.proven_dead' || type === 'logins.not_provable' ? ids(data.versions) : []
  for (const id of dead) story.dead.set(id, String(data.provedDeadAt))
  for (const id of ids(data.unprovable)) story.unprovable.add(id)
  const gone = [...dead, ...ids(data.unprovable), ...(type === 'logins.irrevocable' ? ids(data.versions) : [])]
  const current = story.current.get(credential)
  if (current !== undefined && gone.includes(current)) story.current.delete(credential)
}
type Report = (where: string, what: string) => void

/**
 * Compares the tables with the log: every rotation stands where its events left it and went only where the state table allows, and once
 * it has ended its row is the one that its end told; every version's row says what its events say, and every version that a row calls
 * dead has its proof; every declared field of systems, identities, credentials and consumers is as it was applied. With `keyring` every
 * wrapped key and every ciphertext is opened. Rotations that move while this runs are left out.
 *
 * `remark` is told what is no fault and yet not proven: versions of systems that were given up, with who said so and why. Resolves with
 * what does not agree; with nothing if all does. What is found is looked for a second time, since no lock is held and a rotation may
 * have gone on between the two readings; only what is there both times counts. Nothing is written.
 */
export async function fsckCredentials(
  store: Store,
  remark: Report = () => undefined,
  keyring?: Pick<Keyring, 'unwrap'>,
): Promise<Finding[]> {
  const first = await look(store, remark, keyring)
  if (first.length === 0) return first
  const seen = new Set(first.map((finding) => JSON.stringify(finding)))
  return (await look(store, () => undefined, keyring)).filter((finding) => seen.has(JSON.stringify(finding)))
}

async function look(store: Store, remark: Report, keyring: Pick<Keyring, 'unwrap'> | undefined): Promise<Finding[]> {
  const findings: Finding[] = []
  const report = (where: string, what: string) => void findings.push({ where, what })
  const story: Story = {
    rotations: new Map(),
    dead: new Map(),
    shredded: new Set(),
    versions: new Map(),
    current: new Map(),
    removed: new Set(),
    roots: new Map(),
    items: new Map(),
    unprovable: new Set(),
    closures: newToldClosures(),
    givenUp: [],
  }
  for await (const event of eachEvent(store, 'credential')) follow(story, event, report)
  await compareRotations(store, story, report)
  await compareVersions(store, story, report)
  await compareClosures(store, story.closures, story.removed, report)
  if (keyring !== undefined) await checkSealed(store, keyring, report, remark)
  for (const { where, what, credential } of story.givenUp) if (!story.removed.has(credential)) remark(where, what)
  return [...findings, ...(await inventoryFindings(store, story.items))]
}

async function compareRotations(store: Store, story: Story, report: (where: string, what: string) => void): Promise<void> {
  const seen = new Set<string>()
  for await (const row of rotationRows(store)) {
    seen.add(row.id)
    const told = story.rotations.get(row.id)
    const where = `rotation ${row.id} of ${row.credential}`
    if (told === undefined) {
      // Planned after the log was read.
      if (row.state !== 'planned' && ENDS.includes(row.state)) report(where, `The table says ${row.state}; the log knows nothing of it.`)
    } else if (told.state !== row.state && (ENDS.includes(row.state) || ENDS.includes(told.state))) {
      report(where, `The table says ${row.state}; the log says ${told.state}.`)
    } else compareRotationRow(row, told, where, report)
  }
  for (const [id, { subject, credential }] of story.rotations) {
    if (!seen.has(id) && !story.removed.has(credential)) report(`rotation ${id} of ${subject}`, 'The log knows it; the table does not.')
  }
}

/** As one text: by whom and why. */
const overrideText = ({ by, reason }: { readonly by?: unknown; readonly reason?: unknown }) => JSON.stringify([by, reason])

function overrideOf({ type, data }: EventBody): string | null {
  return type === 'override.recorded' && data.kind === 'override-activation' ? overrideText(data) : null
}

function compareRotationRow(row: RotationRow, told: Told, where: string, report: Report): void {
  const override = row.override === null ? null : overrideText(Object(row.override))
  if (override !== told.override)
    report(where, 'Whether, why and by whose word it does not wait for its consumers is not what the log tells.')
  if (row.started_by !== told.startedBy) report(where, `Started by ${told.startedBy} by the log; the table says ${row.started_by}.`)
  if (row.credential_id !== told.credential) report(where, 'The table has it at another credential than the log.')
  else if (told.record !== null && rotationDigest(row) !== told.record)
    report(where, 'Its row is not the one that the event of its end tells of.')
  if (told.record === null || row.recheck === told.recheck) return
  report(
    where,
    told.recheck
      ? 'Late sessions were not looked for yet; the table does not plan it.'
      : 'The table plans a look for late sessions; the log does not.',
  )
}

async function compareVersions(store: Store, story: Story, tell: Report): Promise<void> {
  let found = 0
  const seen = new Set<string>()
  for await (const row of versionRows(store)) {
    seen.add(row.id)
    const where = `version ${row.number} of ${row.credential}`
    const before = found
    const report = (at: string, what: string) => {
      found++
      tell(at, what)
    }
    const proof = story.dead.get(row.id)
    if (row.state === 'dead' && proof === undefined) report(where, 'The table says dead; the log has no proof of its death.')
    if (row.state !== 'dead' && proof !== undefined) report(where, `The log has its proof of death; the table says ${row.state}.`)
    if (proof !== undefined && timeText(row.proved_dead_at) !== proof)
      report(where, `Proven dead at ${proof} by the log, not by the table.`)
    if (row.state === 'unprovable' && !story.unprovable.has(row.id)) report(where, 'The table says unprovable; the log does not.')
    const shredded = story.shredded.has(row.id)
    if (row.shredded && !shredded) report(where, 'Its ciphertext is gone; the log does not say that it was destroyed.')
    const current = story.current.get(row.credential_id)
    if (row.state === 'current' && current !== undefined && current !== row.id && !row.moving) {
      report(where, 'The table says it is in use; the log names another version.')
    }
    if (current === row.id && row.state !== 'current' && !row.moving)
      report(where, `The log says it is in use; the table says ${row.state}.`)
    compareVersionRow(row, story.versions.get(row.id), shredded, found > before, report)
  }
  for (const [id, { credential, subject, columns }] of story.versions) {
    if (seen.has(id) || story.removed.has(credential)) continue
    tell(`version ${columns.number ?? id} of ${subject}`, 'The log knows it; the table does not.')
  }
}
