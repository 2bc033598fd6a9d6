/**
 * Decisions with 200 policies: of questions that were never asked before, and of those that a server asks again and again. The floor is
 * Cedar alone with the same policies: a question without an entity that any of them names, put to it directly.
 */
import { makeCtx } from '../src/kernel/index.ts'
import { Prepared } from '../src/policy/cedar.prepared.ts'
import { type Action, defaultFiles, Policies, type Principal, type Resource, readPolicies } from '../src/policy/index.ts'
import { principal } from '../src/policy/testing.ts'
import { ms, report } from './report.ts'

const POLICIES = Number(process.argv[2] ?? 200)
const QUESTIONS = Number(process.argv[3] ?? 5_000)
const ENVIRONMENTS = ['prod', 'staging', 'test', 'dev']
const ACTS: readonly Action[] = ['rotation:start', 'rotation:read', 'rotation:undo', 'rotation:retry']

/** As a company writes them: a role for each team, narrowed by environment and owner; some that forbid. */
function own(count: number): { name: string; text: string }[] {
  return Array.from({ length: count }, (_, n) => {
    const environment = ENVIRONMENTS[n % ENVIRONMENTS.length]
    const text =
      n % 10 === 9
        ? `forbid (principal, action == Action::"rotation:start", resource is Credential)
           when { resource has system && resource.system == "frozen-${n}" };`
        : `permit (principal in Role::"team-${n}", action in [Action::"rotation:start", Action::"rotation:read"], resource is Credential)
           when { resource has environment && resource.environment == "${environment}" && principal.aal >= ${n % 2} };`
    return { name: `rule-${n}.cedar`, text }
  })
}

interface Question {
  readonly who: Principal
  readonly action: Action
  readonly resource: Resource
}

/** Every one another person, and so another question to Cedar. */
function question(n: number): Question {
  const roles = ['operator', `team-${n % POLICIES}`]
  const login = { aal: 2, authenticatedAt: new Date(), teams: [`t-${n % 50}`, `t-${n % 7}`] } as const
  const who = principal({ id: `p-${n}`, kind: 'person', identity: `p-${n}`, roles, ...login })
  const resource = {
    type: 'credential',
    id: `c-${n}`,
    environment: ENVIRONMENTS[n % 4],
    owner: `o-${n % 100}`,
    system: `s-${n % 30}`,
  } as const
  return { who, action: ACTS[n % ACTS.length] ?? 'rotation:read', resource }
}

/** Time of each call, ms. */
function measure(questions: readonly Question[], decide: (question: Question) => void): number[] {
  return questions.map((each) => {
    const start = performance.now()
    decide(each)
    return performance.now() - start
  })
}

function figures(times: readonly number[]): string {
  const sorted = times.toSorted((a, b) => a - b)
  const at = (part: number) => sorted[Math.ceil(sorted.length * part) - 1] ?? Number.NaN
  const sum = times.reduce((all, time) => all + time, 0)
  return `${Math.round((times.length / sum) * 1000).toLocaleString('en')}/s, median ${at(0.5).toFixed(3)} ms, p99 ${at(0.99).toFixed(3)} ms`
}

function main(): void {
  const ctx = makeCtx('bench', 'bench')
  const defaults = readPolicies(defaultFiles()).policies.length
  const files = [...defaultFiles(), ...own(POLICIES - defaults)]
  const start = performance.now()
  const set = readPolicies(files)
  const checked = performance.now() - start
  const policies = new Policies(set)
  const inForce = performance.now() - start - checked
  const floor = new Prepared()
  floor.replace(Object.fromEntries(set.policies.map(({ id, text }) => [id, text])))
  const bare = (n: number) =>
    floor.ask({
      principal: { type: 'Token', id: `b-${n}` },
      attrs: { aal: 0, attestation: 'none' },
      parents: [],
      action: 'status:read',
      resource: { type: 'Installation', id: 'installation' },
      resourceAttrs: {},
    })
  const fresh = Array.from({ length: QUESTIONS + 500 }, (_, n) => question(n))
  const decide = ({ who, action, resource }: Question) => void policies.explain(ctx, who, action, resource)
  measure(fresh.slice(QUESTIONS), decide)
  for (let n = 0; n < 500; n++) bare(-n)
  const alone = measure(fresh.slice(0, QUESTIONS), ({ who }) => void bare(Number(who.id.slice(2))))
  const asked = measure(fresh.slice(0, QUESTIONS), decide)
  const few = Array.from({ length: QUESTIONS }, (_, n) => fresh[n % 200] ?? question(n))
  const again = measure(few, decide)
  report(`policy: ${set.policies.length} policies, ${QUESTIONS.toLocaleString('en')} decisions one after another`, {
    'reading and checking the set': ms(checked),
    'putting it in force': ms(inForce),
    'floor: Cedar alone, nothing that matches': figures(alone),
    'decisions never made before': figures(asked),
    'decisions of 200 that come again': figures(again),
  })
}

main()
process.exit(0)
