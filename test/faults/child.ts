/** A whole Rekey worker in a process of its own, which can be told where to die. `Child` in child.parent.ts starts it and talks to it. */
import { once } from 'node:events'
import type pg from 'pg'
import { connectorFor } from '../../src/connectors/registry.ts'
import { Closer } from '../../src/credential/closure.worker.ts'
import type { Move, RotationParts } from '../../src/credential/rotation.run.ts'
import { Targets } from '../../src/credential/targets.ts'
import { makeMoves, Worker } from '../../src/credential/worker.ts'
import { makeCtx, silentLog } from '../../src/kernel/index.ts'
import { fileKeks, fingerprintKey, installationSecret, Keyring } from '../../src/keys/index.ts'
import { Batcher, openStore } from '../../src/store/index.ts'

/** What the parent tells a child when it starts. */
export interface Orders {
  readonly connection: pg.ClientConfig
  /** Folder of the key-encryption keys. */
  readonly kek: string
  /** Where to die: at a trap of the engine, or `before_commit:STATE`, `after_commit:STATE`. Null: never. */
  /** `rotations`: ids of those, or of items of closures. */
  readonly trap: { readonly where: string; readonly rotations: readonly string[] } | null
}

/** Holds every rotation that comes to the place, and ends the process by SIGKILL when all are there (the first, if none is named). */
function makeTrap(trap: Orders['trap']): (where: string, rotation: string) => Promise<void> {
  const arrived = new Set<string>()
  return async (where, rotation) => {
    if (trap === null || where !== trap.where || (trap.rotations.length > 0 && !trap.rotations.includes(rotation))) return
    arrived.add(rotation)
    if (arrived.size >= trap.rotations.length) process.kill(process.pid, 'SIGKILL')
    await new Promise(() => undefined)
  }
}

/** The engine's own batches, with a place to die before and after each commit. */
function trapped(moves: RotationParts['moves'], trap: ReturnType<typeof makeTrap>): RotationParts['moves'] {
  return new (class extends Batcher<Move, { readonly version: number | null } | null> {
    override async submit(move: Move) {
      const { id, progress } = move.commit
      const { state } = progress
      await trap(`before_commit:${state}`, id)
      const result = await moves.submit(move)
      await trap(`after_commit:${state}`, id)
      return result
    }
  })(async () => [], 1)
}

async function run(orders: Orders): Promise<() => Promise<void>> {
  const log = process.env.REKEY_TEST_LOG ? { ...silentLog, warn: console.warn } : silentLog
  const ctx = makeCtx('child', 'faults', { log })
  const store = openStore({ connection: orders.connection, max: 10, log })
  const keyring = new Keyring([fileKeks(orders.kek)])
  await keyring.start(store)
  const trap = makeTrap(orders.trap)
  const parts: RotationParts = {
    store,
    keyring,
    targets: new Targets(connectorFor, keyring),
    fingerprintKey: fingerprintKey(await installationSecret(store, keyring, 'fingerprints')),
    moves: trapped(makeMoves(store), trap),
    shredAfterSeconds: 3600,
    jitter: () => 0.5,
    trap,
  }
  const worker = new Worker(parts, ctx)
  await worker.start()
  const closer = new Closer({ ...parts, destroyAfterSeconds: 0, stops: [] }, ctx)
  await closer.start()
  return async () => {
    await closer.stop()
    await worker.stop()
    await parts.targets.close(ctx)
    await store.close()
  }
}

process.once('disconnect', () => process.exit(1))
const [orders] = (await once(process, 'message')) as [Orders]
const stop = await run(orders)
process.send?.('ready')
await once(process, 'message')
await stop()
process.exit(0)
