import type { LabSession } from '../../src/connectors/contract.kit.ts'
import { sleep } from '../../src/kernel/index.ts'
import { type Case, published } from './kit.ts'

const LOOK_MS = 100

/**
 * A consumer as one ought to be: keeps a session, reads its file anew when it loses it, and tries again. Resolves with its stop
 * function once it has its first session.
 */
export async function startConsumer({ yard, path }: Case, account: string): Promise<() => Promise<void>> {
  const stopping = new AbortController()
  const connect = async (): Promise<LabSession | null> => {
    const secret = published(path)
    return secret === null ? null : yard.lab.openSession(account, secret, 'app').catch(() => null)
  }
  let session = await connect()
  if (session === null) throw new Error('the consumer cannot log in')
  const running = (async () => {
    while (!stopping.signal.aborted) {
      await sleep(LOOK_MS, stopping.signal)
      if (session !== null && (await session.alive())) continue
      await session?.close()
      session = await connect()
    }
    await session?.close()
  })()
  return async () => {
    stopping.abort()
    await running
  }
}
