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

type Tone = 'good' | 'bad' | 'wait'

const TONES: Readonly<Record<Tone, string>> = {
  good: 'active approved consumed proven_dead current accepted resumed rotated closed',
  bad: 'offboarded rejected irrevocable blocked not_provable unprovable handed_over bypassed high closed_unproven waiting',
  wait: `suspended suspending destroying destroyed resuming rotating requested staged previous installed unreachable inconclusive medium
    expired withdrawn`,
}

const TONE_OF = new Map((Object.keys(TONES) as Tone[]).flatMap((tone) => TONES[tone].split(/\s+/).map((code) => [code, tone] as const)))

/** Whether a state is a good end, a bad one or still under way; `calm` for what is none of them. */
export function toneOf(code: string): Tone | 'calm' {
  return TONE_OF.get(code) ?? 'calm'
}
