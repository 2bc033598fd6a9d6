import { type EventBody, eachEvent } from '../evidence/index.ts'
import type { Store } from '../store/index.ts'
import { compareClosures, followClosures, newToldClosures, type ToldClosures } from './fsck.closure.ts'
import { followInventory, type Inventoried, inventoryFindings } from './fsck.inventory.ts'
import { rotationRows, versionRows } from './fsck.store.ts'
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
}

/** What the log says, folded from its events. Only ids, states and times: flat enough for a million rotations. */
interface Story {
  readonly rotations: Map<string, Told>
  /** When each version was proven dead. */
  readonly dead: Map<string, string>
  readonly shredded: Set<string>
  /** The version in use, by credential. */
  readonly current: Map<string, string>
  readonly removed: Set<string>
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
  if (event.type === 'credential.removed' && credential !== undefined) story.removed.add(credential)
  if (event.type === 'version.declared' && credential !== undefined && version !== undefined) story.current.set(credential, version)
  if (event.type === 'version.shredded' && version !== undefined) story.shredded.add(version)
  followVersions(story, event)
  const state = rotation === undefined ? null : stateAfter(event)
  if (rotation === undefined || credential === undefined || state === null) return
  const told = story.rotations.get(rotation)
  const where = `rotation ${rotation} of ${event.subject}`
  if (told === undefined && state !== 'planned') report(where, `The log begins with ${state}, not with planned.`)
  const same = told?.state === 'distributed' && state === 'distributed'
  if (told !== undefined && !same && !NEXT[told.state].includes(state)) report(where, `The log goes from ${told.state} to ${state}.`)
  story.rotations.set(rotation, { state, credential, subject: event.subject })
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

/**
 * Compares the tables with the log: every rotation stands where its events left it and went only where the state table allows, every
 * version that a row calls dead has its proof and every proof its row, the version in use is the one that was last verified, and every
 * declared field of systems, identities, credentials and consumers is as it was applied.
 * Rotations that move while this runs are left out. `remark` is told what is no fault and yet not proven: versions of systems that were
 * given up, with who said so and why. Resolves with what does not agree; with nothing if all does.
 */
export async function fsckCredentials(store: Store, remark: (where: string, what: string) => void = () => undefined): Promise<Finding[]> {
  const findings: Finding[] = []
  const report = (where: string, what: string) => void findings.push({ where, what })
  const story: Story = {
    rotations: new Map(),
    dead: new Map(),
    shredded: new Set(),
    current: new Map(),
    removed: new Set(),
    items: new Map(),
    unprovable: new Set(),
    closures: newToldClosures(),
    givenUp: [],
  }
  for await (const event of eachEvent(store, 'credential')) follow(story, event, report)
  await compareRotations(store, story, report)
  await compareVersions(store, story, report)
  await compareClosures(store, story.closures, story.removed, report)
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
    }
  }
  for (const [id, { subject, credential }] of story.rotations) {
    if (!seen.has(id) && !story.removed.has(credential)) report(`rotation ${id} of ${subject}`, 'The log knows it; the table does not.')
  }
}

async function compareVersions(store: Store, story: Story, report: (where: string, what: string) => void): Promise<void> {
  const seen = new Set<string>()
  for await (const row of versionRows(store)) {
    seen.add(row.id)
    const where = `version ${row.number} of ${row.credential}`
    const proof = story.dead.get(row.id)
    if (row.state === 'dead' && proof === undefined) report(where, 'The table says dead; the log has no proof of its death.')
    if (row.state !== 'dead' && proof !== undefined) report(where, `The log has its proof of death; the table says ${row.state}.`)
    if (proof !== undefined && row.proved_dead_at?.toISOString() !== proof)
      report(where, `Proven dead at ${proof} by the log, not by the table.`)
    if (row.state === 'unprovable' && !story.unprovable.has(row.id)) report(where, 'The table says unprovable; the log does not.')
    if (row.shredded && !story.shredded.has(row.id)) report(where, 'Its ciphertext is gone; the log does not say that it was destroyed.')
    const current = story.current.get(row.credential_id)
    if (row.state === 'current' && current !== undefined && current !== row.id && !row.moving) {
      report(where, 'The table says it is in use; the log names another version.')
    }
    if (current === row.id && row.state !== 'current' && !row.moving)
      report(where, `The log says it is in use; the table says ${row.state}.`)
  }
  if (story.removed.size > 0) return
  for (const id of story.dead.keys())
    if (!seen.has(id)) report(`version ${id}`, 'The log has its proof of death; the table does not know it.')
}
