import type { Probe, Suspension, Target } from '../connectors/contract.ts'
import type { EvidenceEvent } from '../evidence/index.ts'
import { type Answerable, answerableFor, queueEscalation, recordsById } from '../identity/index.ts'
import { type Ctx, type Json, LIMITS, RekeyError, type Secret } from '../kernel/index.ts'
import { open } from '../seal/index.ts'
import type { Tx } from '../store/index.ts'
import { ITEM_ENDS, type ItemState, isOutage, lookPauseMs, nextItem, STUCK } from './closure.model.ts'
import { type AliveVersion, commitItem, type ItemProgress, type ItemWork } from './closure.store.ts'
import { storedVersions } from './record.ts'
import { LostClaim, type RotationParts } from './rotation.run.ts'
import type { VersionChange } from './rotation.store.ts'
import { meet } from './server.contact.ts'
import { dataKeyBound, versionBound } from './targets.ts'

/**
 * Stops whatever an area gave an identity to prove itself to Rekey (sessions, tokens), in the transaction that opens or changes the
 * closure: what `destroy` stops may never come back, what `suspend` stops may. Resolves with how many, by kind, for the evidence. Called
 * again it stops what has come since.
 */
export type StopProofs = (
  tx: Tx,
  ctx: Ctx,
  of: { readonly identity: string; readonly goal: 'suspend' | 'destroy'; readonly reason: string },
) => Promise<Readonly<Record<string, number>>>

/** What closures need; made once per process. */
export interface ClosureParts
  extends Pick<RotationParts, 'store' | 'keyring' | 'targets' | 'shredAfterSeconds' | 'keepOut' | 'jitter' | 'trap'> {
  /** From an offboarding to the destruction of what can still be given back. */
  readonly destroyAfterSeconds: number
  /** Of other areas, in the order in which they are asked. */
  readonly stops: readonly StopProofs[]
}

/** What it takes to open or turn a closure. */
export type ClosingParts = Pick<ClosureParts, 'store' | 'targets' | 'destroyAfterSeconds' | 'stops'>

/** What a step says when it is done: go on at once, come back after a pause, wait for somebody, or it has ended. */
export type ItemResult = 'go' | { readonly waitMs: number | null } | 'end'

/** A version's login, as it was answered. */
export interface Tried {
  readonly version: AliveVersion
  readonly probe: Probe
}

function refuseAllButTarget(error: unknown): void {
  if (!(error instanceof RekeyError) || !error.code.startsWith('target_')) throw error
}

/** The way to the system, and the keys of the credential and of root. */
interface Opened {
  readonly target: Target
  readonly dataKey: Secret
  readonly rootKey: Secret
}

/** One claimed item on its way. Moves collect until something must be durable, and are then one transaction with their evidence. */
export class ItemRun {
  readonly parts: ClosureParts
  readonly ctx: Ctx
  readonly work: ItemWork
  readonly #startedMs: number
  /** True while the claim found an open attempt: the last process died, or its call was never answered. */
  readonly resumed: boolean
  #from: ItemState
  #events: EvidenceEvent[] = []
  readonly #versions = new Map<string, VersionChange>()
  #closed: boolean | null = null
  #opened: Opened | null = null
  #waits: Answerable | null = null

  constructor(parts: ClosureParts, ctx: Ctx, work: ItemWork) {
    this.parts = parts
    this.ctx = ctx
    this.work = work
    this.#startedMs = ctx.clock.monotonicMs()
    this.#from = work.progress.state
    this.resumed = work.progress.attempt_step !== null
  }

  /** Opens the keys and the way to the system, before the first step. What it throws can be recorded like a fault of a step. */
  async open(): Promise<void> {
    const { store, keyring, targets } = this.parts
    const { credential, root, system } = this.work
    const [dataKey, rootKey] = await Promise.all([
      keyring.unwrap(store, credential.kekId, credential.wrappedKey, dataKeyBound(credential.id)),
      keyring.unwrap(store, root.kekId, root.wrappedKey, dataKeyBound(root.credentialId)),
    ])
    // What needs no system, such as to hand an item to a human, must not wait for one.
    if (system.server === null) await meet(this.parts, this.ctx, this.work).catch(refuseAllButTarget)
    this.#opened = { dataKey, rootKey, target: await targets.of(store, system, root) }
  }

  get target(): Target {
    return this.#way().target
  }

  #way(): Opened {
    if (this.#opened === null) throw new RekeyError('internal', `Item ${this.work.id} was not opened.`)
    return this.#opened
  }

  get progress(): ItemProgress {
    return this.work.progress
  }

  get state(): ItemState {
    return this.work.progress.state
  }

  /** The database's time, as `Run.now`. */
  now(): Date {
    return new Date(this.work.loadedAt.getTime() + this.ctx.clock.monotonicMs() - this.#startedMs)
  }

  /** How the system stops logins. Throws `target_unsupported` if it cannot. */
  suspension(): Suspension {
    const { suspension } = this.parts.targets.connectorFor(this.work.system.connector).describe()
    if (suspension === null) throw new RekeyError('target_unsupported', 'Logins of one account cannot be stopped on this system.')
    return suspension
  }

  /** Throws `unavailable` when too little of the claim is left to make another call safely. */
  checkClaim(): void {
    if (this.ctx.clock.monotonicMs() - this.#startedMs > LIMITS.leaseMs / 2) {
      throw new RekeyError('unavailable', 'The step took too long; it goes on with a fresh claim.')
    }
    if (this.ctx.signal.aborted) throw new LostClaim('stopping')
  }

  /** Logs in with every value that is held, as a consumer would. */
  async tryValues(versions: readonly AliveVersion[] = this.work.versions): Promise<Tried[]> {
    return Promise.all(
      versions.flatMap(async (version) => {
        const value = this.#valueOf(version)
        if (value === null) return { version, probe: { outcome: 'inconclusive', code: 'value_unknown' } as const }
        return { version, probe: await this.target.probe(this.ctx, version.account, value) }
      }),
    )
  }

  /** The login that must work while another is refused: that of root, by the same way. */
  async tryControl(): Promise<Probe> {
    const [current] = this.work.root.versions
    if (current === undefined) return { outcome: 'inconclusive', code: 'value_unknown' }
    const value = open(this.#way().rootKey, current.sealed, versionBound(this.work.root.credentialId, current.id))
    return this.target.probe(this.ctx, this.work.system.rootAccount, value)
  }

  #valueOf({ id, sealed }: AliveVersion): Secret | null {
    return sealed === null ? null : open(this.#way().dataKey, sealed, versionBound(this.work.credential.id, id))
  }

  /** Records a move with its evidence; nothing is written before `commit`. */
  move(to: ItemState, data: { readonly [key: string]: Json } = {}, more: Readonly<Record<string, string>> = {}): void {
    this.#check(to)
    const { progress } = this
    progress.state = to
    if (ITEM_ENDS.includes(to)) progress.ended_at = this.now()
    const type = `logins.${to}`
    this.#tell(type, data, more)
  }

  #check(to: ItemState): void {
    const next = nextItem(this.work.relation)[this.state]
    if (!next.includes(to)) throw new RekeyError('internal', `No item goes from ${this.state} to ${to}.`)
  }

  #tell(type: string, data: { readonly [key: string]: Json }, more: Readonly<Record<string, string>>): void {
    const { closure, credential, system } = this.work
    const links = { closure: closure.id, credential: credential.id, system: system.id, identity: closure.identity, ...more }
    this.#events.push({ log: 'credential', type, at: this.now(), subject: credential.name, links, data })
  }

  /** Opens the attempt of a call; committed before the call is made. */
  attempt(step: NonNullable<ItemProgress['attempt_step']>): void {
    this.progress.attempt_step = step
    this.progress.attempt_opened_at = this.now()
  }

  /** What was attempted has been observed. */
  close(): void {
    this.progress.attempt_step = null
    this.progress.attempt_opened_at = null
    this.progress.tries = 0
    this.progress.looks = 0
    this.progress.problem = null
  }

  /** Stops for a named human: who answers for the identity now. `blocked_from` is where it goes on when the human says so. */
  async stop(to: 'blocked' | 'handed_over', problem: NonNullable<ItemProgress['problem']>): Promise<void> {
    const { progress } = this
    const human = await this.#humanFor()
    const from = STUCK.includes(this.state) ? (progress.blocked_from ?? 'planned') : this.state
    progress.problem = problem
    progress.blocked_at = this.now()
    Object.assign(progress, { human_kind: human.kind, human_id: human.id, human_name: human.name } satisfies Partial<ItemProgress>)
    const hint: Record<string, Json> = problem.hint === undefined ? {} : { hint: problem.hint }
    this.move(to, { from, reason: problem.reason, human: human.name, humanKind: human.kind, ...hint }, { human: human.id })
    progress.blocked_from = from
    this.#waits = human
  }

  /** Who answers for whose the credential is. What is somebody else's is the matter of that person, if they are there. */
  async #humanFor(): Promise<Answerable> {
    const { closure, credential, relation } = this.work
    const id = relation === 'own' ? closure.identity : credential.identity
    const record = id === null ? undefined : (await recordsById(this.parts.store, [id])).get(id)
    if (relation !== 'own' && record?.kind === 'human' && record.status === 'active') {
      return { kind: 'person', id: record.id, name: record.name }
    }
    return answerableFor(this.parts.store, record ?? null)
  }

  /** Takes it back from the human, since the cause is gone, to where it stopped; told as a human's retry is. */
  goOn(): void {
    const { progress } = this
    const to = progress.blocked_from ?? 'planned'
    this.#check(to)
    this.#tell('logins.retried', { from: to, byItself: true, looks: progress.looks }, {})
    Object.assign(progress, { state: to, blocked_from: null, blocked_at: null, problem: null, tries: 0 } satisfies Partial<ItemProgress>)
    this.#waits = null
  }

  change(change: VersionChange): void {
    this.#versions.set(change.id, { ...this.#versions.get(change.id), ...change })
  }

  /** From now on no rotation of the credential is started, or again. */
  shut(closed: boolean): void {
    this.#closed = closed
  }

  /**
   * Writes what has collected, and what `also` does with it. `dueMs`: 0 to go on in this claim, a pause to be claimed again after it, null
   * for an end or a wait. Throws `LostClaim` if the item is no longer this run's.
   */
  async commit(
    next: { readonly goOn: true } | { readonly dueMs: number | null },
    also: ((tx: Tx) => Promise<void>) | null = null,
  ): Promise<void> {
    const goOn = 'goOn' in next
    const { id, epoch, nudge, credential, progress } = this.work
    const commit = {
      id,
      epoch,
      nudge,
      from: this.#from,
      credentialId: credential.id,
      progress,
      versions: [...this.#versions.values()],
      closed: this.#closed,
      dueMs: goOn ? 0 : next.dueMs,
      keepLease: goOn,
    }
    await this.trap(`before_commit:${this.state}`)
    if (!(await commitItem(this.parts.store, this.ctx, commit, this.#told(commit.versions), this.#telling(also)))) throw new LostClaim(id)
    await this.trap(`after_commit:${this.state}`)
    this.#from = this.state
    this.#events = []
    this.#versions.clear()
    this.#closed = null
    this.#waits = null
  }

  /** The human for whom it stops is told in the transaction that stops it. */
  #telling(also: ((tx: Tx) => Promise<void>) | null): ((tx: Tx) => Promise<void>) | null {
    const { closure, credential, system } = this.work
    const human = this.#waits
    if (human === null) return also
    return async (tx) => {
      await also?.(tx)
      await queueEscalation(tx, [human], { event: 'closure_waits', id: closure.id, subject: credential.name, system: system.name })
    }
  }

  /** The events of a commit; the last one tells what is stored with it, so that `rekey fsck` can compare the rows. */
  #told(changes: readonly VersionChange[]): EvidenceEvent[] {
    const last = this.#events.at(-1)
    const versions = storedVersions(null, changes)
    return last === undefined || versions === null
      ? this.#events
      : this.#events.with(-1, { ...last, data: { ...last.data, stored: { versions } } })
  }

  async trap(where: string): Promise<void> {
    await this.parts.trap?.(where, this.work.id)
  }
}

/** Writes an end, with what `also` does. */
export async function finish(run: ItemRun, also: ((tx: Tx) => Promise<void>) | null = null): Promise<ItemResult> {
  await run.commit({ dueMs: null }, also)
  return 'end'
}

/**
 * What Rekey cannot end goes to the human who answers for it, and counts as open until that human has ended it. Where the system was
 * away, Rekey looks again by itself.
 */
export async function handOver(run: ItemRun, problem: NonNullable<ItemProgress['problem']>): Promise<ItemResult> {
  await run.stop('handed_over', problem)
  return { waitMs: isOutage(problem.code) ? lookPauseMs(run.progress.looks, run.parts.jitter()) : null }
}
