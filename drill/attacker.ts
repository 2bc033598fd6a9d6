/** The attacker: has the leaked file and nothing else. Logs in with every value once a second, and keeps the sessions that it gets. */
import { readFile } from 'node:fs/promises'
import { Secret, sleep, systemClock } from '../src/kernel/index.ts'
import { report, runChild } from './child.ts'
import type { AttackRound } from './messages.ts'
import { isRefusal, type Login, openSession, type Session } from './session.ts'

const EVERY_MS = 1_000
const AT_ONCE = 6
const KINDS: Readonly<Record<string, Login['kind']>> = { 'postgres:': 'postgres', 'mariadb:': 'mariadb', 'redis:': 'redis' }

/** One line of the leaked file. */
interface Loot {
  readonly login: Login
  readonly secret: Secret
  /** The session that it got and keeps. */
  session: Session | null
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
      },
    ]
  })
}

type Outcome = 'accepted' | 'refused' | 'unclear'

async function tryOne(loot: Loot): Promise<Outcome> {
  try {
    const session = await openSession(loot.login, loot.secret)
    if (loot.session?.alive()) await session.close()
    else loot.session = session
    return 'accepted'
  } catch (error) {
    return isRefusal(error) ? 'refused' : 'unclear'
  }
}

async function tryAll(all: readonly Loot[], round: number): Promise<AttackRound> {
  const outcomes: Outcome[] = []
  const left = [...all]
  const worker = async () => {
    for (let next = left.shift(); next; next = left.shift()) outcomes.push(await tryOne(next))
  }
  await Promise.all(Array.from({ length: AT_ONCE }, worker))
  const count = (outcome: Outcome) => outcomes.filter((one) => one === outcome).length
  const sessions = all.filter(({ session }) => session?.alive()).length
  return { round, values: all.length, accepted: count('accepted'), sessions, unclear: count('unclear') }
}

await runChild(async (leakedFile, signal) => {
  const all = lootOf(await readFile(leakedFile, 'utf8'))
  for (let round = 1; !signal.aborted; round++) {
    const startedMs = systemClock.monotonicMs()
    report({ kind: 'attack', round: await tryAll(all, round) })
    await sleep(Math.max(0, EVERY_MS - (systemClock.monotonicMs() - startedMs)), signal)
  }
  await Promise.all(all.map(({ session }) => session?.close()))
})
