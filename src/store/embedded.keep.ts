import { type Ctx, messageOf, RekeyError, sleep } from '../kernel/index.ts'
import { type EmbeddedDatabase, startEmbedded } from './embedded.ts'

const LOOK_MS = 500
const GIVE_UP_MS = 60_000

/** A new database would be an empty one, under a server that knows what was in the old one. */
function refuseNew(folder: string): never {
  throw new RekeyError('unavailable', `The embedded database is not in ${folder} any more.`, { hint: 'Bring it back from the backup.' })
}

/** An embedded database that is started again whenever it is gone. */
export interface KeptDatabase {
  /** Looks no more, and resolves with the database as it is now, which is still to be stopped or left. Safe to call twice. */
  release(): Promise<EmbeddedDatabase>
}

/**
 * Keeps an embedded database running: one that was killed, or that was stopped by the process that owned it, is started again. Connections
 * lead to the new one by themselves, since its socket is the same. `onLost` is called once if that has not succeeded for a minute.
 */
export function keepEmbedded(ctx: Ctx, dataFolder: string, first: EmbeddedDatabase, onLost: (error: unknown) => void): KeptDatabase {
  const leaving = new AbortController()
  const signal = AbortSignal.any([ctx.signal, leaving.signal])
  let current = first
  const watch = async () => {
    for (let goneMs: number | null = null; !signal.aborted; await sleep(LOOK_MS, signal)) {
      if (current.isAlive()) {
        goneMs = null
        continue
      }
      if (goneMs === null) ctx.log.warn({ pid: current.pid }, 'the embedded database has ended, starting it again')
      goneMs ??= ctx.clock.monotonicMs()
      try {
        current = await startEmbedded({ ...ctx, signal }, dataFolder, refuseNew)
        ctx.log.info({ pid: current.pid }, 'the embedded database runs again')
      } catch (error) {
        if (signal.aborted) return
        ctx.log.warn({ error: messageOf(error) }, 'the embedded database does not start')
        if (ctx.clock.monotonicMs() - goneMs > GIVE_UP_MS) return onLost(error)
      }
    }
  }
  const watching = watch()
  return {
    async release() {
      leaving.abort()
      await watching
      return current
    },
  }
}
