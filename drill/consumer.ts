/** Consumers of the fleet, several in one process: they read their secret from the file that Rekey writes, and come back by themselves. */
import { watch } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { basename, dirname } from 'node:path'
import { type Client, openClient } from '../src/cli/client.ts'
import { isCode, Secret, sleep, systemClock } from '../src/kernel/index.ts'
import { possessionProof } from '../src/seal/index.ts'
import { report, runChild } from './child.ts'
import type { ConsumerPlan, ConsumerStats, ProcessPlan } from './messages.ts'
import { openSession, type Session } from './session.ts'

const REPORT_EVERY_MS = 200
/** Should a change of the file go unnoticed. */
const LOOK_EVERY_MS = 1_000
const RETRY_MS = 20
const REPORT_TRIES = 50

async function readSecret({ path, key }: ConsumerPlan['file']): Promise<Secret> {
  const text = await readFile(path, 'utf8')
  const line = key === null ? text : (text.split('\n').find((one) => one.startsWith(`${key}=`)) ?? '').slice(key.length + 1)
  return Secret.fromText(line.trimEnd())
}

function codeOf(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? error.code : null
  return typeof code === 'string' ? code : error instanceof Error ? (error.message.split(' ')[0] ?? 'Error').slice(0, 30) : 'Error'
}

class Consumer {
  readonly plan: ConsumerPlan
  readonly #client: Client
  readonly #signal: AbortSignal
  #session: Session | null = null
  /** With which value and account the session was opened. */
  #secret: Secret | null = null
  #account: string
  #downSinceMs: number | null = null
  #looking: Promise<void> | null = null
  #lastLogin: Promise<unknown> = Promise.resolve()
  #working: Promise<boolean> = Promise.resolve(true)
  #stats = { requests: 0, failed: 0, longestOutageMs: 0, cut: 0, moved: 0, lastError: null as string | null }

  constructor(plan: ConsumerPlan, client: Client, signal: AbortSignal) {
    this.plan = plan
    this.#client = client
    this.#signal = signal
    this.#account = plan.accounts[0] ?? ''
  }

  stats(): ConsumerStats {
    const lasting = this.#downSinceMs === null ? 0 : systemClock.monotonicMs() - this.#downSinceMs
    const longestOutageMs = Math.round(Math.max(this.#stats.longestOutageMs, lasting))
    const { credential, consumer } = this.plan
    return { credential, consumer, connected: this.#downSinceMs === null && this.#stats.requests > 0, ...this.#stats, longestOutageMs }
  }

  async run(): Promise<void> {
    while (!this.#signal.aborted) {
      const startedMs = systemClock.monotonicMs()
      this.#working = this.#work(startedMs)
      const worked = await this.#working
      const pause = worked ? this.plan.everyMs - (systemClock.monotonicMs() - startedMs) : RETRY_MS
      await sleep(Math.max(1, pause), this.#signal)
    }
    await this.#session?.close()
  }

  /** One request, on the connection that is open or on a new one. */
  async #work(startedMs: number): Promise<boolean> {
    this.#stats.requests++
    try {
      const session = this.#session?.alive() ? this.#session : await this.#login()
      await session.request(this.plan.request)
      if (this.plan.script) await this.#drop(session)
      if (this.#downSinceMs !== null) {
        this.#stats.longestOutageMs = Math.max(this.#stats.longestOutageMs, systemClock.monotonicMs() - this.#downSinceMs)
        this.#downSinceMs = null
      }
      return true
    } catch (error) {
      if (this.#signal.aborted) return false
      this.#stats.failed++
      this.#stats.lastError = codeOf(error)
      this.#downSinceMs ??= startedMs
      return false
    }
  }

  /** One at a time: a cut connection and a new file often come together. */
  #login(): Promise<Session> {
    const next = this.#lastLogin.then(() => this.#loginNow())
    this.#lastLogin = next.catch(() => {})
    return next
  }

  /** With what the file holds now; of an alternating pair the account that was used last goes first. */
  async #loginNow(): Promise<Session> {
    const secret = await readSecret(this.plan.file)
    if (this.#session?.alive() && this.#secret?.equals(secret)) return this.#session
    const changed = this.#secret !== null && !secret.equals(this.#secret)
    const others = this.plan.accounts.filter((account) => account !== this.#account)
    const order = changed ? [...others, this.#account] : [this.#account, ...others]
    let refusal: unknown = null
    for (const account of order) {
      try {
        const session = await openSession({ ...this.plan.login, account }, secret, () => this.#stats.cut++)
        this.#account = account
        this.#secret = secret
        this.#session = session
        if (changed) this.#moved(secret)
        return session
      } catch (error) {
        refusal ??= error
      }
    }
    throw refusal
  }

  async #drop(session: Session): Promise<void> {
    this.#session = null
    await session.close()
  }

  #moved(secret: Secret): void {
    this.#stats.moved++
    if (this.plan.reports) void this.#report(secret)
  }

  /** Proves to Rekey that it has the new value, as `rekey consumer report` does. */
  async #report(secret: Secret): Promise<void> {
    const { credential, consumer } = this.plan
    const path = `/v1/credentials/${encodeURIComponent(credential)}/consumers/${encodeURIComponent(consumer)}/challenges`
    for (let tries = 0; tries < REPORT_TRIES && !this.#signal.aborted; tries++) {
      try {
        const { challenge, nonce } = await this.#client.post<{ challenge: string; nonce: string }>(path, {}, { startsWork: false })
        const proof = Buffer.from(possessionProof(secret, Buffer.from(nonce, 'base64'))).toString('base64')
        await this.#client.post(`/v1/challenges/${challenge}/answer`, { proof }, { startsWork: false })
        return
      } catch (error) {
        // The file is written a moment before Rekey has recorded that it waits for us.
        if (!isCode(error, 'wrong_state')) this.#stats.lastError = codeOf(error)
      }
      await sleep(RETRY_MS * 5, this.#signal)
    }
  }

  /** The file may have changed: goes over to the new value with a second connection before it lets the first one go. */
  look(): Promise<void> {
    this.#looking ??= this.#lookOnce().finally(() => {
      this.#looking = null
    })
    return this.#looking
  }

  async #lookOnce(): Promise<void> {
    const secret = await readSecret(this.plan.file).catch(() => null)
    if (secret === null || this.#secret === null || secret.equals(this.#secret) || this.plan.script) return
    const before = this.#session
    try {
      const session = await this.#login()
      if (before === null || before === session) return
      // What it is still asked must be answered: some libraries cut a session that is closed while it works.
      await this.#working
      await before.close()
    } catch (error) {
      // The connection that there is serves on; the next look tries again.
      this.#stats.lastError = codeOf(error)
    }
  }
}

/** Calls `look` for the consumers of a file whenever it is replaced. */
function watchFiles(consumers: readonly Consumer[], signal: AbortSignal): void {
  for (const [folder, own] of Map.groupBy(consumers, ({ plan }) => dirname(plan.file.path))) {
    const watcher = watch(folder, { signal }, (_, name) => {
      for (const consumer of own) if (name === null || name === basename(consumer.plan.file.path)) void consumer.look()
    })
    watcher.on('error', () => {})
  }
}

await runChild(async (planFile, signal) => {
  const plan = JSON.parse(await readFile(planFile, 'utf8')) as ProcessPlan
  const client = await openClient({ url: plan.url, tokenFile: plan.tokenFile, serverUid: null, data: '', color: false }, () => {})
  const consumers = plan.consumers.map((one) => new Consumer(one, client, signal))
  watchFiles(consumers, signal)
  const tell = () => report({ kind: 'consumers', stats: consumers.map((one) => one.stats()) })
  const timers = [setInterval(tell, REPORT_EVERY_MS), setInterval(() => consumers.forEach((one) => void one.look()), LOOK_EVERY_MS)]
  await Promise.all(consumers.map((one) => one.run()))
  for (const timer of timers) clearInterval(timer)
  tell()
})
