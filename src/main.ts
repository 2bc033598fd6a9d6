import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { type RunningServer, startServer } from './api/index.ts'
import { type Config, loadConfig, type Overrides } from './config.ts'
import { connectorFor } from './connectors/registry.ts'
import { AddressGuard, makeMoves, type RotationParts, rewrapCredentials, rotationFigures, Targets, Worker } from './credential/index.ts'
import { formatVerifierKey, logFigures, SEQUENCE_BATCH, type Signer, sequence, signerFromSeed } from './evidence/index.ts'
import { ensureAdminToken, ensurePolicySet, watchPolicies } from './identity/index.ts'
import { offboardDue } from './identity/scim/index.ts'
import { type Ctx, makeCtx, messageOf, newId, RekeyError, Secret, sleep } from './kernel/index.ts'
import { fileKeks, fingerprintKey, installationSecret, type KekSource, Keyring, passphraseKeks } from './keys/index.ts'
import { openLog } from './log.ts'
import { Policies } from './policy/index.ts'
import { fingerprint } from './seal/index.ts'
import { connectionFromUrl, type EmbeddedDatabase, migrate, openStore, type Store, startEmbedded } from './store/index.ts'

const SCHEMA = new URL('../schema', import.meta.url).pathname
const VERSION = (JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string }).version
/** How often evidence is numbered and a checkpoint signed while there is something new. */
const SEQUENCE_EVERY_MS = 500
/** How often offboardings that have come due are looked for: delays are days. */
const OFFBOARD_EVERY_MS = 5_000

/** The database, reached or started and migrated; `close` stops an embedded one that this process owns. */
export interface Opened {
  readonly config: Config
  readonly ctx: Ctx
  readonly store: Store
  close(): Promise<void>
}

/** Opens the database for a command that works without a server (`rekey fsck`). The schema is brought up to date. */
export async function openOffline(overrides: Overrides = {}): Promise<Opened> {
  const config = loadConfig(overrides)
  return openDatabase(config, makeCtx('cli', newId(), { log: openLog('silent') }), 4)
}

async function openDatabase(config: Config, ctx: Ctx, max: number): Promise<Opened> {
  const embedded: EmbeddedDatabase | null = config.databaseUrl === null ? await startEmbedded(ctx, config.data) : null
  const connection = embedded?.connection ?? connectionFromUrl(config.databaseUrl ?? '')
  const store = openStore({ connection, max, log: ctx.log })
  const close = async () => {
    await store.close()
    await embedded?.stop()
  }
  try {
    await migrate(store, SCHEMA)
  } catch (error) {
    await close()
    throw error
  }
  return { config, ctx, store, close }
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

/** Written whole or not at all, 0600. */
function writeTokenFile(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  // Never through a link or into a file that somebody put there first.
  rmSync(`${path}.new`, { force: true })
  writeFileSync(`${path}.new`, `${text}\n`, { mode: 0o600, flag: 'wx', flush: true })
  renameSync(`${path}.new`, path)
}

interface Composed {
  readonly parts: RotationParts
  readonly keyring: Keyring
  readonly signer: Signer
}

async function signerOf(store: Store, keyring: Keyring): Promise<Signer> {
  const seed = await installationSecret(store, keyring, 'evidence signing seed')
  // The log's origin is this installation's own: two installations must never look like one log.
  const origin = fingerprint(seed, Secret.fromText('log origin')).replace(/[^A-Za-z0-9]/g, '')
  return signerFromSeed(`rekey-${origin.slice(0, 8)}`, seed)
}

/**
 * The verifier key of this installation, from its own sealed seed and not from the table that anybody with the database can change.
 * Throws `kek_unavailable` where the key-encryption key is not at hand.
 */
export async function ownEvidenceKey({ config, store }: Opened): Promise<string> {
  const keyring = new Keyring(kekSources(config))
  await keyring.start(store)
  return formatVerifierKey(await signerOf(store, keyring))
}

async function compose({ config, store }: Opened): Promise<Composed> {
  const keyring = new Keyring(kekSources(config))
  await keyring.start(store)
  const signer = await signerOf(store, keyring)
  const parts: RotationParts = {
    store,
    keyring,
    targets: new Targets(connectorFor, keyring, { guard: new AddressGuard(config.refuseNetworks ?? undefined) }),
    fingerprintKey: fingerprintKey(await installationSecret(store, keyring, 'fingerprints')),
    moves: makeMoves(store),
    shredAfterSeconds: config.shredAfterSeconds,
    jitter: Math.random,
  }
  return { parts, keyring, signer }
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

/** Starts database, keys, worker and server as the role asks. Throws before anything is left running. */
export async function start(overrides: Overrides = {}): Promise<Running> {
  const config = loadConfig(overrides)
  const stopping = new AbortController()
  const log = openLog(config.logLevel)
  const ctx = makeCtx(`server:${process.pid}`, newId(), { log, signal: stopping.signal })
  // The order of the clean-up is the reverse of the start.
  const cleanups: (() => Promise<unknown>)[] = []
  const stop = async () => {
    stopping.abort()
    for (const cleanup of cleanups.reverse()) await cleanup().catch((error: unknown) => log.warn({ error: messageOf(error) }, 'stopping'))
    cleanups.length = 0
  }
  try {
    const opened = await openDatabase(config, ctx, 20)
    cleanups.push(() => opened.close())
    const composed = await compose(opened)
    await ensureAdminToken(opened.store, ctx, async (token) => writeTokenFile(config.tokenFile, token))
    cleanups.push(() => composed.parts.targets.close(ctx))
    const sequencing = runSequencer(ctx, opened.store, composed.signer)
    cleanups.push(() => sequencing)
    if (config.role !== 'server') {
      const worker = new Worker(composed.parts, ctx)
      await worker.start()
      cleanups.push(() => worker.stop())
      const offboarding = runOffboarding(ctx, opened.store)
      cleanups.push(() => offboarding)
    }
    const policies = config.role === 'worker' ? null : new Policies(await ensurePolicySet(opened.store, ctx))
    if (policies) cleanups.push(await watchPolicies(opened.store, ctx, policies))
    const server = policies && (await listen(opened, composed, policies))
    if (server) cleanups.push(() => server.close())
    return { url: server?.url ?? null, ctx, opened, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

function listen({ config, ctx, store }: Opened, { parts, keyring }: Composed, policies: Policies): Promise<RunningServer> {
  const areas = [rewrapCredentials]
  const figures = { rotations: () => rotationFigures(store), evidence: () => logFigures(store) }
  return startServer(
    { ...parts, store, policies, keyring, areas, figures, version: VERSION, role: config.role },
    { listen: config.listen, ctx },
  )
}

/** Runs until SIGTERM or SIGINT, then stops in order: no new work, running steps finish, the database last. Twice: at once. */
export async function serve(overrides: Overrides = {}): Promise<void> {
  const running = await start(overrides)
  const signalled = new Promise<void>((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
      let asked = false
      process.on(signal, () => {
        if (asked) process.exit(130)
        asked = true
        resolve()
      })
    }
  })
  process.stdout.write(running.url === null ? 'rekey: ready (worker)\n' : `rekey: ready on ${running.url}\n`)
  await signalled
  await running.stop()
}
