import { once } from 'node:events'
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import { sleep, systemClock } from '../../src/kernel/index.ts'
import { serverFolder } from './copies.ts'

/** A port of 127.0.0.1 on which nothing listens at the moment. Another program may take it before its user does. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const port = portOf(server)
  server.close()
  await once(server, 'close')
  return port
}

/** The TCP port on which `server` listens. Throws if it does not listen on one. */
export function portOf(server: Server): number {
  const address = server.address() as AddressInfo | null
  if (address === null || typeof address !== 'object') throw new Error('The server does not listen on a TCP port.')
  return address.port
}

/** Resolves when something accepts connections on the port; rejects after `ms`, or with what `gaveUp` says before that. */
export async function waitForPort(port: number, ms = 20_000, gaveUp: () => string | null = () => null): Promise<void> {
  const until = systemClock.monotonicMs() + ms
  while (!(await accepts(port))) {
    const reason = gaveUp() ?? (systemClock.monotonicMs() > until ? `nothing accepts connections after ${ms} ms` : null)
    if (reason !== null) throw new Error(`Port ${port}: ${reason}`)
    await sleep(20)
  }
}

/** True if something accepts a connection on 127.0.0.1 and this port, within a second. */
export function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port, timeout: 1000 })
    const answer = (is: boolean) => () => {
      socket.destroy()
      resolve(is)
    }
    socket.once('connect', answer(true)).once('error', answer(false)).once('timeout', answer(false))
  })
}

/** A server of a test's own on a free port of 127.0.0.1; it hangs up on everybody when it is stopped. */
export interface Listener {
  readonly port: number
  stop(): Promise<void>
}

/** Listens. `onSocket` speaks with each who comes, and hangs up by failing. */
export async function startListener(onSocket: (socket: Socket) => Promise<unknown>): Promise<Listener> {
  const open = new Set<Socket>()
  const server = createServer((socket) => {
    open.add(socket)
    socket.on('error', () => undefined).on('close', () => open.delete(socket))
    onSocket(socket).catch(() => socket.destroy())
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: portOf(server),
    async stop() {
      for (const socket of open) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}

/** A port that accepts connections and never says a word. */
export function startSilent(): Promise<Listener> {
  return startListener(async () => undefined)
}

/** A new folder for a server's data, open only to us (or, with `mode`, as told). */
export async function temporaryFolder(prefix: string, mode = 0o700): Promise<string> {
  const folder = await mkdtemp(join(serverFolder(), `${prefix}-`))
  await chmod(folder, mode)
  return folder
}

/** Removes a folder and all in it; nothing happens if it is gone. */
export async function removeFolder(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 })
}
