/** The attacker: has the leaked file and nothing else. Logs in with every value once a second, and keeps the sessions that it gets. */
import { readFile } from 'node:fs/promises'
import { Secret, sleep } from '../src/kernel/index.ts'
import { report, runChild } from './child.ts'
import type { AttackState } from './messages.ts'
import { isRefusal, type Login, openSession, type Session } from './session.ts'

const EVERY_MS = 1_000
const REPORT_EVERY_MS = 150
const KINDS: Readonly<Record<string, Login['kind']>> = { 'postgres:': 'postgres', 'mariadb:': 'mariadb', 'redis:': 'redis' }

/** One line of the leaked file. */
interface Loot {
  readonly login: Login
  readonly secret: Secret
  /** The session that it got and keeps. */
  session: Session | null
  /** Of the last try. */
  outcome: 'accepted' | 'refused' | 'unclear' | null
}

function lootOf(text: string): Loot[] {
  return text.split('\n').flatMap((line) => {
    const at = line.indexOf('=')
    const url = at > 0 && URL.canParse(line.slice(at + 1)) ? new URL(line.slice(at + 1)) : null
    const kind = KINDS[url?.protocol ?? '']
    if (url === null || kind === undefined) return []
    const { hostname: host, port, pathname, username: account, password } = url
    return [
      {
        login: { kind, host, port: Number(port), database: pathname.slice(1), account, client: '' },
        secret: Secret.fromText(password),
        session: null,
        outcome: null,
      },
    ]
  })
}

async function tryOne(loot: Loot): Promise<void> {
  try {
    const session = await openSession(loot.login, loot.secret)
    if (loot.session?.alive()) await session.close()
    else loot.session = session
    loot.outcome = 'accepted'
  } catch (error) {
    loot.outcome = isRefusal(error) ? 'refused' : 'unclear'
  }
}

/** Every value once, evenly over a second. */
async function tryAll(all: readonly Loot[], signal: AbortSignal): Promise<void> {
  const tries: Promise<void>[] = []
  for (const loot of all) {
    tries.push(tryOne(loot))
    await sleep(EVERY_MS / all.length, signal)
  }
  await Promise.all(tries)
}

function stateOf(all: readonly Loot[], rounds: number): AttackState {
  const count = (outcome: Loot['outcome']) => all.filter((one) => one.outcome === outcome).length
  const sessions = all.filter(({ session }) => session?.alive()).length
  return { rounds, values: all.length, accepted: count('accepted'), sessions, unclear: count('unclear') }
}

await runChild(async (leakedFile, signal) => {
  const all = lootOf(await readFile(leakedFile, 'utf8'))
  let rounds = 0
  const telling = setInterval(() => report({ kind: 'attack', state: stateOf(all, rounds) }), REPORT_EVERY_MS)
  while (!signal.aborted) {
    await tryAll(all, signal)
    rounds++
  }
  clearInterval(telling)
  await Promise.all(all.map(({ session }) => session?.close()))
})
