import { systemClock } from '../src/kernel/index.ts'
import type { Drill, Outcome, Proof, Stage } from './run.ts'
import type { Screen } from './screen.ts'
import { gapsOf, secondsOf, since } from './tally.ts'
import { count, labelled, some } from './view.ts'

/** What came of the drill; one line of JSON with `--json`. Times end with their unit. */
export interface Summary {
  /** Everything in the store is proven dead, nothing of it works, every consumer works, and the evidence holds. */
  readonly ok: boolean
  /** Why not; empty if ok. */
  readonly faults: readonly string[]
  /** Of Rekey's API. */
  readonly url: string
  readonly systems: readonly string[]
  readonly missing: readonly string[]
  readonly credentials: number
  readonly leaked: number
  readonly provenDead: number
  /** By state of its rotation, those that are not proven dead. */
  readonly others: Readonly<Record<string, string>>
  readonly attacker: {
    readonly acceptedBefore: number
    readonly sessionsBefore: number
    readonly acceptedAfter: number
    readonly sessionsAfter: number
  }
  readonly consumers: {
    readonly count: number
    readonly working: number
    readonly requests: number
    readonly failed: number
    readonly cut: number
    readonly moved: number
    readonly longestOutageMs: number
    readonly worst: string | null
  }
  readonly gap: { readonly count: number; readonly longestMs: number; readonly medianMs: number } | null
  /** From the order to the last proof of death. */
  readonly rotationSeconds: number
  /** From the start of the drill to this summary. */
  readonly seconds: number
  readonly evidence: { readonly bundle: string; readonly key: string; readonly sound: boolean; readonly tampered: Proof['tampered'] }
}

/** Puts together what was seen. */
export function summaryOf({ watch, startedMs }: Drill, stage: Stage, outcome: Outcome, proof: Proof): Summary {
  const { rotations, attackBefore, consumersBefore } = outcome
  const now = watch.sum
  const during = since(consumersBefore, now)
  const summary = {
    url: stage.rekey.url,
    systems: stage.systems.map(({ name }) => name),
    missing: stage.missing,
    credentials: stage.fleet.credentials.length,
    leaked: stage.fleet.leaked.length,
    provenDead: rotations.filter(({ state }) => state === 'proven_dead').length,
    others: Object.fromEntries(
      rotations.filter(({ state }) => state !== 'proven_dead').map(({ credential, state }) => [credential, state]),
    ),
    attacker: {
      acceptedBefore: attackBefore.accepted,
      sessionsBefore: attackBefore.sessions,
      acceptedAfter: watch.attack?.accepted ?? 0,
      sessionsAfter: watch.attack?.sessions ?? 0,
    },
    consumers: { count: now.consumers, working: now.connected, ...during, longestOutageMs: now.longestOutageMs, worst: now.worst },
    gap: gapsOf(rotations),
    rotationSeconds: secondsOf(rotations),
    seconds: Math.round((systemClock.monotonicMs() - startedMs) / 100) / 10,
    evidence: { bundle: proof.bundle, key: proof.key, sound: proof.sound, tampered: proof.tampered },
  }
  const faults = [...faultsOf(summary), ...((watch.attack?.unclear ?? 0) > 0 ? ['some tries of the attacker had no clear answer'] : [])]
  return { ok: faults.length === 0, faults, ...summary }
}

function faultsOf({ leaked, provenDead, attacker, consumers, evidence }: Omit<Summary, 'ok' | 'faults'>): string[] {
  const faults = [
    leaked === 0 && 'nothing leaked',
    provenDead !== leaked && `not proven dead: ${leaked - provenDead} of ${leaked}`,
    attacker.acceptedBefore !== leaked &&
      `of the leaked values only ${attacker.acceptedBefore} worked before, so that their death says little`,
    attacker.acceptedAfter > 0 && `still working: ${some(attacker.acceptedAfter, 'leaked value')}`,
    attacker.sessionsAfter > 0 && `still open of the attacker: ${some(attacker.sessionsAfter, 'session')}`,
    consumers.working !== consumers.count && `not working: ${some(consumers.count - consumers.working, 'consumer')}`,
    !evidence.sound && 'the evidence does not verify',
    evidence.tampered === null && 'a changed copy of the evidence was believed',
  ]
  return faults.filter((fault) => fault !== false)
}

/** The end of the drill, for people. */
export function summaryLines(screen: Screen, summary: Summary, verify: string): string[] {
  const { leaked, provenDead, attacker, consumers, gap, evidence, credentials } = summary
  const good = (text: string, is: boolean) => screen.paint(text, is ? 'green' : 'red', 'bold')
  const spared = credentials - leaked
  const row = (label: string, text: string) => labelled(screen, label, text)
  return [
    '',
    screen.paint('5  What is proven, and what it cost', 'bold'),
    row('proven dead', `${good(`${provenDead} of ${leaked}`, provenDead === leaked)}: old refused, new accepted, sessions ended`),
    row('attacker', attackerText(screen, attacker)),
    row('not leaked', `${some(spared, 'credential')}, untouched`),
    row('consumers', `${consumers.working} of ${consumers.count} work; ${count(consumers.moved)} went over to a new value by themselves`),
    row('lost', lostText(consumers)),
    row(
      'in-place gap',
      gap === null ? 'none' : `longest ${ms(gap.longestMs)}, median ${ms(gap.medianMs)}, of ${some(gap.count, 'rotation')}`,
    ),
    row(
      'took',
      `${summary.rotationSeconds.toFixed(1)} s from the order to the last proof; the whole drill ${summary.seconds.toFixed(0)} s`,
    ),
    row('report', evidence.bundle),
    row('verify', verify),
    row('', `→ ${good(evidence.sound ? 'sound' : 'not sound', evidence.sound)}: checked offline with nothing else`),
    ...tamperLines(screen, evidence.tampered),
    ...summary.faults.map((fault) => screen.paint(`  not as it should be: ${fault}`, 'red')),
    '',
  ]
}

function attackerText(screen: Screen, attacker: Summary['attacker']): string {
  const { acceptedBefore, acceptedAfter, sessionsBefore, sessionsAfter } = attacker
  const zero = (after: number) => screen.paint(count(after), after === 0 ? 'green' : 'red', 'bold')
  const values = `leaked values that work ${count(acceptedBefore)} → ${zero(acceptedAfter)}`
  return `${values}, stolen sessions ${count(sessionsBefore)} → ${zero(sessionsAfter)}`
}

function lostText({ requests, failed, cut, longestOutageMs, worst }: Summary['consumers']): string {
  const outage = longestOutageMs === 0 ? 'no outage' : `longest outage ${ms(longestOutageMs)} (${worst})`
  return `${count(failed)} of ${count(requests)} requests failed, ${outage}; ${some(cut, 'connection')} cut`
}

/** In two rows: where the change was found, and what is wrong there. */
function tamperLines(screen: Screen, tampered: Proof['tampered']): string[] {
  if (tampered === null) return [labelled(screen, 'tampering', 'a copy with one flipped bit was believed')]
  const [where = '', what = ''] = tampered.found.split(/: (.*)/)
  return [
    labelled(screen, 'tampering', `a copy with one flipped bit (byte ${count(tampered.byte)}): found in ${where}`),
    labelled(screen, '', what),
  ]
}

function ms(value: number): string {
  return `${value < 10 ? value.toFixed(1) : count(Math.round(value))} ms`
}
