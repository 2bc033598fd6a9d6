import { existsSync, readFileSync } from 'node:fs'
import { constants } from 'node:os'
import { join } from 'node:path'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { isLoopback, type RunningServer, readConsole, startServer } from './api/index.ts'
import { type Config, loadConfig, type Overrides } from './config.ts'
import { connectorFor } from './connectors/registry.ts'
import {
  Closer,
  makeMoves,
  type RotationParts,
  rewrapCredentials,
  rotationFigures,
  type StopProofs,
  Targets,
  Worker,
} from './credential/index.ts'
import { markExternal, nameDatabase, ownPlaces, refuseMixing, refuseWrongFolder, writeTokenFile } from './datafolder.ts'
import { formatVerifierKey, logFigures, SEQUENCE_BATCH, type Signer, sequence, signerFromSeed } from './evidence/index.ts'
import {
  endSessionsOf,
  ensureAdminToken,
  ensurePolicySet,
  foldRest,
  revokeTokensOf,
  rewrapChannels,
  runNotifier,
  runTokenEnds,
  tokenFindings,
  watchPolicies,
} from './identity/index.ts'
import { consumeStepUpProof, OidcClients, rewrapLogins } from './identity/login/index.ts'
import { offboardDue } from './identity/scim/index.ts'
import {
  AddressGuard,
  type Ctx,
  fileFault,
  isCode,
  makeCtx,
  messageOf,
  newId,
  RekeyError,
  Secret,
  sleep,
  systemClock,
} from './kernel/index.ts'
import {
  fileKeks,
  findInstallationSecret,
  fingerprintKey,
  installationSecret,
  type KekSource,
  Keyring,
  kekFindings,
  passphraseKeks,
} from './keys/index.ts'
import { openLog } from './log.ts'
import { Policies } from './policy/index.ts'
import { fingerprint } from './seal/index.ts'
import {
  checkSchema,
  connectionFromUrl,
  type EmbeddedDatabase,
  isDatabaseLost,
  keepEmbedded,
  migrate,
  openStore,
  type Store,
  startEmbedded,
} from './store/index.ts'

const SCHEMA = new URL('../schema', import.meta.url).pathname
const CONSOLE = new URL('../console/dist', import.meta.url).pathname
const VERSION = (JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string }).version
/** How often evidence is numbered and a checkpoint signed while there is something new. */
const SEQUENCE_EVERY_MS = 500
/** How often offboardings that have come due are looked for: delays are days. */
const OFFBOARD_EVERY_MS = 5_000

/** What an offboarding stops of other areas, at once and with its own evidence: sessions and tokens of the identity. */
const STOPS: readonly StopProofs[] = [
  async (tx, ctx, { identity, goal, reason }) => ({
    sessions: await endSessionsOf(tx, ctx, identity, reason),
    // A suspended identity's tokens are refused while it is suspended, and work again if it comes back.
    tokens: goal === 'destroy' ? (await revokeTokensOf(tx, ctx, identity, reason)).length : 0,
  }),
]

/** How long a part may take to stop in order, and then the connections to the database. */
const CLOSE_MS = 12_000
const DATABASE_CLOSE_MS = 5_000
/** npm and a terminal both pass a Ctrl-C on: a second signal that comes sooner than this is the first one again. */
const SAME_SIGNAL_MS = 500

/** What is told of a start while it goes on. */
export interface Starting {
  /** Begins the next step: a few words, `opening the keys`. `isSlow`: it is known to take seconds. */
  step(what: string, isSlow?: boolean): void
  /** Says at once what people must know of this start. */
  warn(text: string): void
  /** It is over, well or not. */
  end(): void
}

const TOLD_TO_NOBODY: Starting = { step: () => undefined, warn: () => undefined, end: () => undefined }

/** The database, reached or started and migrated; `close` stops an embedded one that this process owns. */
export interface Opened {
  readonly config: Config
  readonly ctx: Ctx
  readonly store: Store
  close(): Promise<void>
}

/**
 * Opens the database, for reading only, for a command that works without a server (`rekey fsck`). An embedded one that does not run is
 * started, and `close` stops it again, unless a server has come to use it meanwhile. Throws `config_invalid` where there is none (none
 * is made), `wrong_state` where the schema is not up to date. A signal closes and ends the process; a second one ends it at once, and an
 * embedded database that it owns with it.
 */
export async function openOffline(overrides: Overrides = {}): Promise<Opened> {
  const config = loadConfig(overrides)
  if (config.databaseUrl === null && !existsSync(config.data)) throw noDatabase(config)
  const asked = new AbortController()
  const ctx = makeCtx('cli', newId(), { log: openLog('silent'), signal: asked.signal })
  const opening = openDatabase(config, ctx, 4, TOLD_TO_NOBODY, true)
  // The default way to die by a signal runs no exit handler, which would leave the database running.
  const die = (signal: EndSignal) => process.exit(128 + constants.signals[signal])
  const leave = (signal: EndSignal) => {
    asked.abort()
    const left = opening.then((opened) => opened.close()).catch(() => undefined)
    void within(CLOSE_MS, left).finally(() => die(signal))
  }
  const ignore = onSignals(twice(leave, die))
  // Once asked to end nothing goes on here: nobody is to tell that the database was closed under him.
  const unlessAsked = <T>(done: Promise<T>) => done.finally(() => (asked.signal.aborted ? new Promise(() => undefined) : undefined))
  const opened = await unlessAsked(opening).catch((error: unknown) => Promise.reject(fileFault(error)))
  return { ...opened, close: () => unlessAsked(opened.close()).finally(ignore) }
}

function noDatabase({ data }: Config): RekeyError {
  return new RekeyError('config_invalid', `There is no database in ${data}.`, {
    hint: 'Name the data folder with --data, or the database with DATABASE_URL.',
  })
}

async function openDatabase(config: Config, ctx: Ctx, max: number, { step }: Starting, readOnly = false): Promise<Opened> {
  refuseWrongFolder(config)
  if (config.databaseUrl === null) step('starting the database')
  const making = (folder: string) => {
    if (readOnly) throw noDatabase(config)
    step(`making the database in ${folder}, at the first start only`, true)
  }
  const embedded: EmbeddedDatabase | null = config.databaseUrl === null ? await startEmbedded(ctx, config.data, making) : null
  const connection = embedded?.connection ?? connectionFromUrl(config.databaseUrl ?? '')
  const store = openStore({ connection, max, log: ctx.log, readOnly })
  const kept = embedded && !readOnly ? keepEmbedded(ctx, config.data, embedded, endLost) : null
  let closed: Promise<void> | null = null
  const close = () => {
    // A statement that hangs, or waits for another process's lock, ends with its database.
    closed ??= within(DATABASE_CLOSE_MS, store.close()).then(async () => (kept ? (await kept.release()).stop() : embedded?.leave()))
    return closed
  }
  step('reaching the database and bringing its tables up to date')
  try {
    const bringUp = () => migrate(store, SCHEMA, (tx) => foldRest(tx, ctx))
    const ready = async () => (readOnly ? checkSchema(store, SCHEMA) : refuseMixing(config, store).then(bringUp))
    await untilStopped<unknown>(ctx, ready())
  } catch (error) {
    await close()
    throw isDatabaseLost(error) && embedded === null ? noAnswer(error, connection) : error
  }
  return { config, ctx, store, close }
}

/** Whoever starts a process may know where it looked; who only asks it may not. */
function noAnswer(
  error: unknown,
  { host, port, database }: { host?: string | undefined; port?: number | undefined; database?: string | undefined },
) {
  const { message, hint, detail } = error as RekeyError
  const where = `${database} at ${host?.startsWith('/') === true ? host : `${host}:${port}`}`
  const then = hint === undefined || /^Try again/.test(hint) ? 'Start it, or correct DATABASE_URL.' : hint
  return new RekeyError('unavailable', message.replace(/^The database/, `The database ${where}`), {
    hint: then,
    cause: error,
    ...(detail !== undefined && { detail }),
  })
}

/** Whoever keeps services running is to hear of it: a process that only answers 503 looks alive. */
function endLost(error: unknown): never {
  process.stderr.write(`rekey: the embedded database has ended and does not start again: ${messageOf(error)}\n`)
  process.exit(1)
}

/** What `work` resolves with. Throws `unavailable` as soon as the process is told to stop; the work is left to itself. */
async function untilStopped<T>({ signal }: Ctx, work: Promise<T>): Promise<T> {
  work.catch(() => undefined)
  const aborted = new Promise<never>((_resolve, reject) => {
    const stopped = () => reject(new RekeyError('unavailable', 'Rekey was stopped while it started.'))
    if (signal.aborted) stopped()
    else signal.addEventListener('abort', stopped, { once: true })
  })
  aborted.catch(() => undefined)
  return Promise.race([work, aborted])
}

/** Key sources: the one that is set up makes new keys; files can always be read, so that one may move from files to a passphrase. */
function kekSources(config: Config): [KekSource, ...KekSource[]] {
  const files = fileKeks(join(config.data, 'kek'))
  if (config.passphraseFile === null) return [files]
  const path = config.passphraseFile
  return [passphraseKeks(() => readPassphrases(path)), files]
}

function readPassphrases(path: string): Secret[] {
  try {
    const lines = readFileSync(path, 'utf8').split(/\r?\n/)
    return lines.filter((line) => line !== '').map((line) => Secret.fromText(line))
  } catch (error) {
    throw new RekeyError('kek_unavailable', `The passphrase file cannot be read: ${path}`, { cause: error })
  }
}

/** The keys of this installation, of which none is read yet. */
export function keyringOf(config: Config): Keyring {
  return new Keyring(kekSources(config))
}

/** What does not agree with the log among key-encryption keys and tokens. In one snapshot: what changes meanwhile is no finding. */
export function keyFindings({ store }: Pick<Opened, 'store'>): Promise<{ readonly where: string; readonly what: string }[]> {
  return store.onConnection(async (sql) => {
    await sql.query('begin transaction isolation level repeatable read read only')
    try {
      return [...(await kekFindings(sql)), ...(await tokenFindings(sql))]
    } finally {
      await sql.query('rollback')
    }
  })
}

interface Composed {
  readonly parts: RotationParts
  readonly keyring: Keyring
  readonly signer: Signer
  readonly guard: AddressGuard
}

const SEED = 'evidence signing seed'

async function signerOf(store: Store, keyring: Keyring): Promise<Signer> {
  return signerOfSeed(await installationSecret(store, keyring, SEED))
}

function signerOfSeed(seed: Secret): Signer {
  // The log's origin is this installation's own: two installations must never look like one log.
  const origin = fingerprint(seed, Secret.fromText('log origin')).replace(/[^A-Za-z0-9]/g, '')
  return signerFromSeed(`rekey-${origin.slice(0, 8)}`, seed)
}

/**
 * The verifier key of this installation, from its own sealed seed and not from the table that anybody with the database can change.
 * Null if there is none; nothing is made. Throws `kek_unavailable` where the key-encryption key is not at hand, `sealed_damaged` where
 * the seed was changed.
 */
export async function ownEvidenceKey({ config, store }: Opened): Promise<string | null> {
  const seed = await findInstallationSecret(store, keyringOf(config), SEED)
  return seed && formatVerifierKey(signerOfSeed(seed))
}

/** Which addresses nothing here may call: systems, login providers and issuers of tokens alike. */
function guardOf({ refuseNetworks }: Config): AddressGuard {
  return new AddressGuard(refuseNetworks ?? undefined)
}

async function compose({ config, ctx, store }: Opened): Promise<Composed> {
  const keyring = new Keyring(kekSources(config))
  await keyring.start(store)
  const left = await keyring.destroyRetired(store)
  if (left.length > 0) ctx.log.warn({ keks: left }, 'old key-encryption keys could not be destroyed: remove their files by hand')
  const signer = await signerOf(store, keyring)
  const guard = guardOf(config)
  const parts: RotationParts = {
    store,
    keyring,
    targets: new Targets(connectorFor, keyring, { guard }),
    fingerprintKey: fingerprintKey(await installationSecret(store, keyring, 'fingerprints')),
    moves: makeMoves(store),
    shredAfterSeconds: config.shredAfterSeconds,
    keepOut: ownPlaces(config),
    jitter: Math.random,
  }
  return { parts, keyring, signer, guard }
}

/** Numbers new evidence and signs checkpoints until stopped. Any number of processes may: a lock lets one work at a time. */
async function runSequencer(ctx: Ctx, store: Store, signer: Signer): Promise<void> {
  while (!ctx.signal.aborted) {
    try {
      if ((await sequence(store, ctx, signer)) >= SEQUENCE_BATCH) continue
    } catch (error) {
      ctx.log.warn({ error: messageOf(error) }, 'evidence could not be numbered, trying again')
    }
    await sleep(SEQUENCE_EVERY_MS, ctx.signal)
  }
}

/** Offboards whom a provider called inactive longer ago than its delay, until stopped. Any number of processes may: rows are locked. */
async function runOffboarding(ctx: Ctx, store: Store): Promise<void> {
  while (!ctx.signal.aborted) {
    try {
      if ((await offboardDue(store, ctx)) > 0) continue
    } catch (error) {
      ctx.log.warn({ error: messageOf(error) }, 'a due offboarding failed, trying again')
    }
    await sleep(OFFBOARD_EVERY_MS, ctx.signal)
  }
}

/** A running Rekey: what `serve` started, and how to stop it in order. */
export interface Running {
  readonly url: string | null
  readonly ctx: Ctx
  readonly opened: Opened
  stop(): Promise<void>
}

/**
 * Starts database, keys, worker and server as the role asks. Throws before anything is left running; `unavailable` if `asked` aborts
 * before all of it runs.
 */
export async function start(overrides: Overrides = {}, asked?: AbortSignal, starting = TOLD_TO_NOBODY): Promise<Running> {
  const config = loadConfig(overrides)
  const stopping = new AbortController()
  if (asked?.aborted) stopping.abort()
  else asked?.addEventListener('abort', () => stopping.abort(), { once: true })
  const log = openLog(config.logLevel)
  const ctx = makeCtx(`server:${process.pid}`, newId(), { log, signal: stopping.signal })
  // The order of the clean-up is the reverse of the start. One that hangs does not keep the database from its end.
  const cleanups: (() => Promise<unknown>)[] = []
  let opened: Opened | null = null
  const tell = (error: unknown) => log.warn({ error: messageOf(error) }, 'stopping')
  const stop = async () => {
    stopping.abort()
    for (const cleanup of cleanups.splice(0).reverse()) await within(CLOSE_MS, cleanup().catch(tell))
    await opened?.close().catch(tell)
  }
  try {
    opened = await openDatabase(config, ctx, 20, starting)
    starting.step('opening the keys and starting what works with them')
    return { ...(await startParts(opened, starting, cleanups)), ctx, opened, stop }
  } catch (error) {
    await stop()
    throw fileFault(error)
  } finally {
    starting.end()
  }
}

/** What runs on the database. Each part is in `cleanups` as soon as it runs. */
async function startParts(opened: Opened, { warn }: Starting, cleanups: (() => Promise<unknown>)[]): Promise<{ url: string | null }> {
  const { config, ctx } = opened
  const composed = await untilStopped(ctx, compose(opened)).catch((error: unknown) => Promise.reject(nameDatabase(config, error)))
  markExternal(config, ctx)
  await untilStopped(
    ctx,
    ensureAdminToken(opened.store, ctx, async (token) => {
      const kept = writeTokenFile(config.tokenFile, token, ctx.clock.now())
      if (kept !== null) warn(`There was a token file already: the new token is in ${config.tokenFile}, the older one is kept in ${kept}.`)
    }),
  )
  cleanups.push(() => composed.parts.targets.close(ctx))
  const sequencing = runSequencer(ctx, opened.store, composed.signer)
  cleanups.push(() => sequencing)
  if (config.role !== 'server') {
    const worker = new Worker(composed.parts, ctx)
    await worker.start()
    cleanups.push(() => worker.stop())
    const closer = new Closer({ ...composed.parts, destroyAfterSeconds: config.destroyAfterSeconds, stops: STOPS }, ctx)
    await closer.start()
    cleanups.push(() => closer.stop())
    const offboarding = runOffboarding(ctx, opened.store)
    cleanups.push(() => offboarding)
    const notifying = runNotifier({ store: opened.store, keyring: composed.keyring, guard: composed.guard }, ctx)
    cleanups.push(() => notifying)
    const ending = runTokenEnds(opened.store, ctx)
    cleanups.push(() => ending)
  }
  const isWorker = config.role === 'worker'
  const policies = isWorker && !config.isListenGiven ? null : new Policies(await untilStopped(ctx, ensurePolicySet(opened.store, ctx)))
  if (policies) cleanups.push(await watchPolicies(opened.store, ctx, policies))
  const server = policies && (await listen(opened, composed, policies))
  if (server && !isWorker && !isLoopback(config.listen.host)) warn(plainHttp(config.listen.host))
  if (server) cleanups.push(() => server.close())
  return { url: server?.url ?? null }
}

function plainHttp(host: string): string {
  const danger = 'whoever sees the network there sees tokens and secrets'
  return `Rekey speaks plain HTTP on ${host}, not only on this machine: ${danger}. Put a proxy with TLS in front that alone can reach it.`
}

function listen({ config, ctx, store }: Opened, { parts, keyring, signer, guard }: Composed, policies: Policies): Promise<RunningServer> {
  const areas = [rewrapCredentials, rewrapLogins, rewrapChannels]
  const figures = { rotations: () => rotationFigures(store), evidence: () => logFigures(store) }
  return startServer(
    {
      ...parts,
      store,
      policies,
      keyring,
      signer,
      guard,
      assertionOf: consumeStepUpProof,
      oidc: new OidcClients(keyring, guard),
      areas,
      figures,
      version: VERSION,
      role: config.role,
      destroyAfterSeconds: config.destroyAfterSeconds,
      stops: STOPS,
      tokenMaxSeconds: config.tokenMaxSeconds,
    },
    {
      listen: config.listen,
      publicUrl: config.publicUrl,
      trustProxies: config.trustProxies,
      ctx,
      ...(config.role === 'worker' ? { probesOnly: true } : { console: readConsole(CONSOLE) }),
    },
  )
}

/**
 * Runs until SIGTERM, SIGINT or SIGHUP, also while it starts, then stops in order: no new work, running steps finish, the database
 * last. A second signal: at once, but for the database, which is stopped all the same (see `endAtExit`).
 */
export async function serve(overrides: Overrides = {}, starting = TOLD_TO_NOBODY): Promise<void> {
  const asked = new AbortController()
  onSignals(
    twice(
      () => asked.abort(),
      () => process.exit(130),
    ),
  )
  // The same signal by its other way must find somebody who takes it: while the process is taken down, it would be killed by it.
  let heard: Promise<void> | undefined
  asked.signal.addEventListener('abort', () => (heard = sleep(SAME_SIGNAL_MS)), { once: true })
  let running: Running
  try {
    running = await start(overrides, asked.signal, starting)
  } catch (error) {
    if (asked.signal.aborted && isCode(error, 'unavailable')) return heard
    throw error
  }
  giveBackMemory()
  process.stdout.write(running.url === null ? 'rekey: ready (worker)\n' : `rekey: ready on ${running.url}\n`)
  if (!asked.signal.aborted) await new Promise((resolve) => asked.signal.addEventListener('abort', resolve, { once: true }))
  await running.stop()
  await heard
}

/**
 * One full collection. What starting leaves behind (sources, syntax trees, the schema) stays on the heap else for as long as the process
 * is idle: 30 to 50 MiB. Done before anybody waits for an answer.
 */
function giveBackMemory(): void {
  setFlagsFromString('--expose-gc')
  const collect: unknown = runInNewContext('gc')
  setFlagsFromString('--no-expose-gc')
  if (typeof collect === 'function') collect({ type: 'major', execution: 'sync', flavor: 'last-resort' })
}

/** `first` at the first signal, `again` at the next that is not the same one by another way (a terminal and npm both pass it on). */
function twice(first: (signal: EndSignal) => void, again: (signal: EndSignal) => void): (signal: EndSignal) => void {
  let firstMs: number | null = null
  return (signal) => {
    const nowMs = systemClock.monotonicMs()
    if (firstMs === null) first(signal)
    else if (nowMs - firstMs > SAME_SIGNAL_MS) again(signal)
    firstMs ??= nowMs
  }
}

type EndSignal = 'SIGTERM' | 'SIGINT' | 'SIGHUP'

/** Calls `act` at each signal that asks the process to end; the returned function ends that. */
function onSignals(act: (signal: EndSignal) => void): () => void {
  const signals = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const
  for (const signal of signals) process.on(signal, act)
  return () => {
    for (const signal of signals) process.off(signal, act)
  }
}

/** Waits for `work`, but no longer than so. */
async function within(ms: number, work: Promise<unknown>): Promise<void> {
  const timer = new AbortController()
  await Promise.race([work, sleep(ms, timer.signal)]).finally(() => timer.abort())
}
