/** For tests only: a whole engine on a fresh database, with credentials put straight into the inventory. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freshDatabase, type TestDatabase } from '../../test/lab/database.ts'
import type { Address, Connector, Strategy } from '../connectors/contract.ts'
import { connectorFor } from '../connectors/registry.ts'
import { append, type LogName } from '../evidence/index.ts'
import { type Naming, namingBy, recordsById } from '../identity/index.ts'
import { type Clock, type Ctx, type Json, type Log, makeCtx, newId, type Secret, silentLog, sleep } from '../kernel/index.ts'
import { fileKeks, fingerprintKey, installationSecret, Keyring } from '../keys/index.ts'
import { allowed, byDefault, FIRST_TOKEN } from '../policy/testing.ts'
import { fingerprint, seal } from '../seal/index.ts'
import type { ClosureParts } from './closure.run.ts'
import { Closer } from './closure.worker.ts'
import { authorityDigest, declaredEvent } from './inventory.events.ts'
import type { RotationView } from './model.ts'
import { type StartOptions, startRotations } from './rotation.actions.ts'
import { findRotation, isFinished } from './rotation.list.ts'
import type { RotationParts } from './rotation.run.ts'
import { dataKeyBound, Targets, versionBound } from './targets.ts'
import { makeMoves, Worker } from './worker.ts'

export interface CredentialSpec {
  readonly name: string
  readonly strategy: Strategy
  readonly accounts: readonly string[]
  readonly current: Secret | null
  readonly graceSeconds?: number
  readonly everySeconds?: number
  readonly isRoot?: boolean
  /** Id of the identity that it belongs to; default a new one. */
  readonly identity?: string
  /** `whose`: id of the identity whose it is declared to be. */
  readonly consumers?: readonly { name: string; path?: string; key?: string; activation: 'session' | 'report' | 'none'; whose?: string }[]
}

export interface EngineOptions {
  readonly parts?: Partial<RotationParts>
  readonly connector?: (name: string) => Connector
  /** Default true. */
  readonly worker?: boolean
  /** Default: a fresh one on the shared test server. */
  readonly db?: TestDatabase
  readonly clock?: Clock
  readonly log?: Log
  /** Deadline of one call to a target, milliseconds. */
  readonly callMs?: number
}

/** Whom the first token of an installation may name: anybody. */
export const namesAnybody = (ctx: Ctx): Naming => namingBy(byDefault(), ctx, FIRST_TOKEN)

export class Engine {
  readonly db: TestDatabase
  readonly ctx: Ctx
  readonly parts: RotationParts
  readonly folder: string
  readonly #workers: (Worker | Closer)[] = []

  private constructor(db: TestDatabase, ctx: Ctx, parts: RotationParts, folder: string) {
    this.db = db
    this.ctx = ctx
    this.parts = parts
    this.folder = folder
  }

  static async start(options: EngineOptions = {}): Promise<Engine> {
    const db = options.db ?? (await freshDatabase())
    const folder = mkdtempSync(join(tmpdir(), 'rekey-engine-'))
    const loud = process.env.REKEY_TEST_LOG ? { ...silentLog, warn: console.warn, error: console.error } : silentLog
    const ctx = makeCtx('test', 'test', { log: options.log ?? loud, ...(options.clock ? { clock: options.clock } : {}) })
    const keyring = new Keyring([fileKeks(join(folder, 'kek'))])
    await keyring.start(db.store)
    const parts: RotationParts = {
      store: db.store,
      keyring,
      targets: new Targets(options.connector ?? connectorFor, keyring, options.callMs === undefined ? {} : { callMs: options.callMs }),
      fingerprintKey: fingerprintKey(await installationSecret(db.store, keyring, 'fingerprints')),
      moves: makeMoves(db.store),
      shredAfterSeconds: 3600,
      jitter: () => 0.5,
      ...options.parts,
    }
    const engine = new Engine(db, ctx, parts, folder)
    if (options.worker !== false) await engine.addWorker()
    return engine
  }

  async addWorker(): Promise<Worker> {
    const worker = new Worker(this.parts, this.ctx)
    await worker.start()
    this.#workers.push(worker)
    return worker
  }

  /** The reconciler of closures, on the same parts. */
  async addCloser(options: Partial<Pick<ClosureParts, 'destroyAfterSeconds' | 'stops' | 'trap'>> = {}): Promise<Closer> {
    const closer = new Closer({ ...this.parts, destroyAfterSeconds: 0, stops: [], ...options }, this.ctx)
    await closer.start()
    this.#workers.push(closer)
    return closer
  }

  async addSystem(
    name: string,
    connector: string,
    address: Address,
    root: { account: string; secret: Secret },
    concurrent = 8,
  ): Promise<string> {
    const id = newId()
    await this.db.store.query(
      `insert into system (id, name, connector, host, port, database, tls, ca, root_account, concurrent)
       values ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10)`,
      [
        id,
        name,
        connector,
        address.host,
        address.port,
        address.database ?? null,
        address.tls,
        address.ca ?? null,
        root.account,
        concurrent,
      ],
    )
    const { host, port, tls } = address
    const fields = {
      connector,
      'address.host': host,
      'address.port': port,
      'address.database': address.database ?? null,
      'address.tls': tls,
    }
    const more = { 'address.caFile': null, 'root.account': root.account, 'limits.concurrent': concurrent }
    await this.#tell('system.added', name, { ...fields, ...more, ca: authorityDigest(address.ca ?? null) })
    const strategy = this.parts.targets.connectorFor(connector).describe().rootStrategy
    await this.addCredential(id, { name: `root@${name}`, strategy, accounts: [root.account], current: root.secret, isRoot: true })
    return id
  }

  async addCredential(systemId: string, spec: CredentialSpec): Promise<string> {
    const { store, keyring } = this.parts
    const id = newId()
    const key = keyring.newDataKey(keyring.activeId, dataKeyBound(id))
    let identity: string | null = spec.identity ?? null
    if (!spec.isRoot && identity === null) {
      identity = newId()
      await store.query(
        `insert into identity (id, name, name_key, kind, owner, purpose, environment)
         values ($1, $2, $2, 'workload', 'team', 'test', 'test')`,
        [identity, `id-${id}`],
      )
      const fields = { kind: 'workload', owner: 'team', purpose: 'test', environment: 'test' }
      await this.#tell('identity.added', `id-${id}`, fields, 'identity')
    }
    await store.query(
      `insert into credential (id, name, system_id, identity_id, is_root, strategy, accounts, every_seconds, grace_seconds,
         kek_id, wrapped_key, next_rotation_at)
       values ($1,$2,$3,$4,$5,$6,$7,$8::bigint,$9,$10,$11, now() + make_interval(secs => $8::bigint))`,
      [
        id,
        spec.name,
        systemId,
        identity,
        spec.isRoot === true,
        spec.strategy,
        spec.accounts,
        spec.everySeconds ?? null,
        spec.graceSeconds ?? 0,
        key.kekId,
        key.wrapped,
      ],
    )
    // Some tests share an account, which an apply refuses.
    await store.query('insert into account select $1, name, $2 from unnest($3::text[]) name on conflict do nothing', [
      systemId,
      id,
      spec.accounts,
    ])
    const version = newId()
    const sealed = spec.current === null ? null : seal(key.key, spec.current, versionBound(id, version))
    const print = spec.current === null ? null : fingerprint(this.parts.fingerprintKey, spec.current)
    await store.query(
      "insert into version (id, credential_id, number, account, state, sealed, fingerprint) values ($1,$2,1,$3,'current',$4,$5)",
      [version, id, spec.accounts[0], sealed, print],
    )
    for (const consumer of spec.consumers ?? []) {
      const { name, path = null, key = null, activation, whose = null } = consumer
      await store.query(
        'insert into consumer (id, credential_id, name, file_path, file_key, activation, identity_id) values ($1,$2,$3,$4,$5,$6,$7)',
        [newId(), id, name, path, key, activation, whose],
      )
    }
    await this.#tellCredential(id, systemId, spec)
    const declared = { id: version, credential: id, number: 1, account: spec.accounts[0] ?? '', fingerprint: print }
    await this.db.store.inTx((tx) => append(tx, this.ctx, [declaredEvent(spec.name, declared)]))
    return id
  }

  async #tellCredential(id: string, systemId: string, spec: CredentialSpec): Promise<void> {
    const [system] = await this.db.store.query<{ name: string }>('select name from system where id = $1', [systemId])
    const common = { accounts: [...spec.accounts], strategy: spec.strategy }
    if (spec.isRoot) return this.#tell('credential.added', spec.name, { root: true, ...common })
    const schedule = { 'rotate.everySeconds': spec.everySeconds ?? null, 'rotate.graceSeconds': spec.graceSeconds ?? 0 }
    const ids = [spec.identity, ...(spec.consumers ?? []).map(({ whose }) => whose)].flatMap((one) => one ?? [])
    const records = await recordsById(this.db.store, ids)
    const consumers = (spec.consumers ?? []).map(({ name, path, key, activation, whose = '' }) => {
      return { name, identity: records.get(whose)?.name ?? null, 'file.path': path ?? null, 'file.key': key ?? null, activation }
    })
    const known = records.get(spec.identity ?? '')
    const identity = known?.name ?? `id-${id}`
    await this.#tell('credential.added', spec.name, { ...common, ...schedule, identity, system: system?.name ?? '', consumers })
  }

  /** The evidence that an apply would have written. */
  #tell(type: string, subject: string, data: Record<string, Json>, log: LogName = 'credential'): Promise<void> {
    return this.db.store.inTx((tx) => append(tx, this.ctx, [{ log, type, subject, data }]))
  }

  async rotate(names: readonly string[], options: Partial<StartOptions> = {}): Promise<string[]> {
    const may = allowed(this.ctx, 'rotation:start')
    const started = await startRotations(this.parts, this.ctx, may, { names }, { reason: 'test', urgent: false, ...options })
    return started.rotations.map((each) => each.rotation)
  }

  /** Waits until the rotation has ended or is blocked. */
  async finished(id: string, ms = 30_000): Promise<RotationView> {
    return this.until(id, (view) => isFinished(view.state), ms)
  }

  async until(id: string, done: (view: RotationView) => boolean, ms = 30_000): Promise<RotationView> {
    const until = this.ctx.clock.monotonicMs() + ms
    for (;;) {
      const view = await findRotation(this.db.store, id)
      if (view && done(view)) return view
      if (this.ctx.clock.monotonicMs() > until) throw new Error(`rotation ${id} is still ${view?.state}: ${view?.reason}`)
      await sleep(20)
    }
  }

  /** Waits until all have ended, looking in one statement; throws if one ended otherwise than proven dead. */
  async finishedBatch(ids: readonly string[]): Promise<void> {
    for (;;) {
      const [row] = await this.db.store.query<{ open: number; other: number }>(
        `select count(*) filter (where ended_at is null)::int as open,
                count(*) filter (where state <> 'proven_dead' and (ended_at is not null or state = 'blocked'))::int as other
           from rotation where id = any($1::uuid[])`,
        [ids],
      )
      if ((row?.other ?? 0) > 0) throw new Error('a rotation ended otherwise than proven dead')
      if (row?.open === 0) return
      // Seldom while many are open, so that looking costs little; closely at the end, so that the end is seen when it comes.
      await sleep(ids.length === 1 ? 1 : (row?.open ?? 0) > 16 ? 100 : 10)
    }
  }

  async stop(): Promise<void> {
    for (const worker of this.#workers) await worker.stop()
    await this.parts.targets.close(this.ctx)
    await this.db.drop()
    rmSync(this.folder, { recursive: true, force: true })
  }
}
