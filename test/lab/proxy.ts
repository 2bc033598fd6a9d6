import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { portOf } from './ports.ts'

/** A TCP hop before a system that can be made to misbehave. */
export interface Proxy {
  readonly port: number
  /** The next request that carries `marker` (in one write of the client) passes; then the connection is cut, without reply. Holds once. */
  cutAfterRequest(marker: string): void
  /**
   * The next request that carries `marker` is held back, also when the client goes meanwhile, until the returned function is called. That
   * one resolves when the system has answered it or has closed the connection. Holds once.
   */
  holdRequest(marker: string): () => Promise<void>
  /** Replies reach the client so many milliseconds late. */
  delay(ms: number): void
  /** Cuts what is open and every new connection. */
  refuse(): void
  /** Rewrites what the system says before the client sees it; null passes it as it is. */
  rewriteReplies(change: ((reply: Buffer, request: Buffer) => Buffer) | null): void
  /** New connections go to another system from now on; what is open stays where it is. Holds until it is called again. */
  leadTo(target: { readonly host: string; readonly port: number }): void
  /** Back to passing everything. */
  heal(): void
  stop(): Promise<void>
}

/** How the proxy behaves at the moment; shared by all its connections. */
interface Behaviour {
  marker: Buffer | null
  delayMs: number
  refused: boolean
  rewrite: ((reply: Buffer, request: Buffer) => Buffer) | null
  held: Held | null
}

/** A request that waits. */
interface Held {
  readonly marker: Buffer
  /** Resolves with the connection to the system once the request has come by. */
  readonly come: (upstream: Socket, request: readonly Buffer[]) => void
}

const HEALTHY: Behaviour = { marker: null, delayMs: 0, refused: false, rewrite: null, held: null }

/** Starts a proxy on a free port of 127.0.0.1 that passes everything to `target` until told otherwise. */
export async function startProxy(target: { readonly host: string; readonly port: number }): Promise<Proxy> {
  const behaviour = { ...HEALTHY }
  let goal = target
  const open = new Set<Socket>()
  const server = createServer((client) => {
    if (behaviour.refused) return void client.destroy()
    const upstream = connect(goal)
    for (const socket of [client, upstream]) {
      open.add(socket)
      socket.setNoDelay(true).on('error', () => {})
      socket.on('close', () => open.delete(socket))
    }
    pass(client, upstream, behaviour)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const cutAll = () => {
    for (const socket of open) socket.destroy()
  }
  return {
    port: portOf(server),
    cutAfterRequest: (marker) => void Object.assign(behaviour, { marker: Buffer.from(marker) }),
    holdRequest(marker) {
      const came = new Promise<{ upstream: Socket; request: readonly Buffer[] }>((resolve) => {
        behaviour.held = { marker: Buffer.from(marker), come: (upstream, request) => resolve({ upstream, request }) }
      })
      return async () => {
        const { upstream, request } = await came
        if (upstream.destroyed) return
        const over = Promise.race([once(upstream, 'data'), once(upstream, 'close')])
        upstream.write(Buffer.concat(request))
        await over
        upstream.end()
      }
    },
    delay: (ms) => void Object.assign(behaviour, { delayMs: ms }),
    rewriteReplies: (change) => void Object.assign(behaviour, { rewrite: change }),
    leadTo: (other) => {
      goal = other
    },
    heal: () => void Object.assign(behaviour, HEALTHY),
    refuse() {
      behaviour.refused = true
      cutAll()
    },
    async stop() {
      cutAll()
      server.close()
      await once(server, 'close')
    },
  }
}

/** Joins the two sockets. What was marked is cut at the system's first answer: by then the system has surely read the request. */
function pass(client: Socket, upstream: Socket, behaviour: Behaviour): void {
  let marked = false
  let request = Buffer.alloc(0)
  const held: Buffer[] = []
  client.on('data', (chunk) => {
    request = Buffer.from(chunk)
    if (behaviour.held !== null && request.includes(behaviour.held.marker)) {
      behaviour.held.come(upstream, held)
      behaviour.held = null
      held.push(request)
    } else if (held.length > 0) held.push(request)
    if (held.length > 0) return
    if (behaviour.marker !== null && request.includes(behaviour.marker)) {
      behaviour.marker = null
      marked = true
    }
    upstream.write(chunk)
  })
  upstream.on('data', (chunk) => {
    if (marked) {
      client.destroy()
      return void upstream.destroy()
    }
    const reply = behaviour.rewrite === null ? chunk : behaviour.rewrite(Buffer.from(chunk), request)
    if (behaviour.delayMs === 0) client.write(reply)
    else setTimeout(() => client.write(reply), behaviour.delayMs).unref()
  })
  client.on('close', () => held.length > 0 || upstream.end())
  upstream.on('close', () => client.end())
}
