/** Words for what the API names by codes. A code without words is shown as it is: the server may be newer. */
const WORDS: Readonly<Record<string, string>> = {
  machine_to_machine: 'machine to machine',
  person_suspended: 'a person who is suspended',
  team_without_people: 'a team without people',
  unresolved: 'names nobody on record',
  person: 'a person',
  team: 'a team',
  proven_dead: 'proven dead',
  not_provable: 'not provable',
}

export function wordsOf(code: string): string {
  return WORDS[code] ?? code.replaceAll('_', ' ')
}

/** Whether a state is a good end, a bad one, or still under way. */
export function toneOf(code: string): 'good' | 'bad' | 'wait' | 'calm' {
  if (/^(active|approved|consumed|proven_dead|current|accepted|resumed|rotated|done)$/.test(code)) return 'good'
  if (/^(offboarded|rejected|irrevocable|blocked|not_provable|unprovable|handed_over|bypassed|high|critical|refused)$/.test(code))
    return 'bad'
  if (/^(suspended|requested|staged|previous|installed|unreachable|inconclusive|medium|expired|withdrawn)$/.test(code)) return 'wait'
  return 'calm'
}
