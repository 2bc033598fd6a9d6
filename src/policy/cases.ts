/** Expected decisions as a file, so that a team can say in advance what its policies must and must not allow. */
import { LineCounter, parseDocument } from 'yaml'
import { z } from 'zod'
import { type Ctx, nearest, RekeyError } from '../kernel/index.ts'
import { ACTIONS, type Action, isAction } from './actions.ts'
import type { Decision, Policies } from './engine.ts'
import { type Aal, ATTESTATIONS, PRINCIPAL_KINDS, type Principal, RESOURCE_TYPES, type Resource } from './model.ts'

const MINUTE_MS = 60_000
const Text = z.string().min(1).max(200)

/** A principal as a person writes it down: what is left out is as little as possible. */
export const WrittenPrincipal = z.strictObject({
  kind: z.enum(PRINCIPAL_KINDS).default('person'),
  id: Text.optional(),
  /** Id of the identity; of a person its own id if left out. */
  identity: Text.optional(),
  roles: z.array(Text).max(50).default([]),
  teams: z.array(Text).max(50).default([]),
  aal: z.int().min(0).max(3).default(0),
  minutesSinceLogin: z.int().min(0).max(1_000_000).optional(),
  attestation: z.enum(ATTESTATIONS).default('none'),
  actsFor: Text.optional(),
  scope: z.array(Text).max(200).optional(),
  environments: z.array(Text).max(50).optional(),
})
/** What is written of a principal. */
export type WrittenPrincipal = z.output<typeof WrittenPrincipal>

/** A thing as a person writes it down. */
export const WrittenResource = z.strictObject({
  type: z.enum(RESOURCE_TYPES),
  id: Text.default('any'),
  environment: Text.optional(),
  owner: Text.optional(),
  system: Text.optional(),
  kind: Text.optional(),
})

/** Where all actions stand. */
const ALL_ACTIONS = 'All of them: rekey policy show --schema.'

/** One name of the closed list. What was given is not in the message: it may be anything. */
export const ActionName = z.enum(ACTIONS as readonly [Action, ...Action[]], {
  error: ({ input }) => `There is no such action.${meant(input)} ${ALL_ACTIONS}`,
})

function meant(input: unknown): string {
  const near = typeof input === 'string' && input.length <= 60 ? nearest(input, ACTIONS) : null
  return near === null ? '' : ` Did you mean ${near}?`
}

/** Of a file of one's own: what looks like an action is named. */
function noAction(input: unknown): string {
  const wrong = [input].flat().find((one) => typeof one !== 'string' || !isAction(one))
  const name = typeof wrong === 'string' && /^[a-z-]{1,30}:[a-z-]{1,30}$/.test(wrong) ? `action ${wrong}` : 'such action'
  return `There is no ${name}.${meant(wrong)} ${ALL_ACTIONS}`
}

const EXPECTED = ['allow', 'deny', 'step-up'] as const
/** What a case expects, and what an answer is called. */
export type Outcome = (typeof EXPECTED)[number]

const Case = z.strictObject({
  name: Text,
  principal: WrittenPrincipal,
  action: z.union([ActionName, z.array(ActionName).min(1).max(ACTIONS.length)], { error: ({ input }) => noAction(input) }),
  resource: WrittenResource.optional(),
  expect: z.enum(EXPECTED),
})
const File = z.strictObject({ version: z.literal(1), cases: z.array(Case).min(1, 'There is no case: nothing would be tested.').max(2_000) })

/** One expectation; a case with several actions is several. */
export interface Expectation {
  readonly name: string
  readonly line: number
  readonly principal: WrittenPrincipal
  readonly action: Action
  readonly resource: Resource | null
  readonly expect: Outcome
}

/** An expectation and what was decided. */
export interface CaseResult extends Expectation {
  readonly got: Outcome
  readonly policies: readonly string[]
  readonly passed: boolean
}

/** Reads a file of cases. Throws `bad_input` with every fault and its line. */
export function readCases(text: string): Expectation[] {
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false })
  const lineAt = (path: readonly PropertyKey[]): number => {
    for (let depth = path.length; depth >= 0; depth--) {
      const node = document.getIn(path.slice(0, depth), true) as { range?: readonly number[] } | undefined
      if (node?.range) return lines.linePos(node.range[0] ?? 0).line
    }
    return 1
  }
  const syntax = document.errors.map(({ message, pos }) => ({ message, line: lines.linePos(pos[0]).line }))
  const parsed = syntax.length > 0 ? null : File.safeParse(document.toJS({ maxAliasCount: 0 }))
  const faults =
    parsed?.error?.issues.map(({ message, path }) => ({ message: `${path.join('.')}: ${message}`, line: lineAt(path) })) ?? syntax
  if (!parsed?.success) throw new RekeyError('bad_input', `The cases have ${faults.length} fault(s).`, { faults })
  return parsed.data.cases.flatMap(({ action, resource, ...rest }, index) =>
    [action].flat().map((one) => ({ ...rest, line: lineAt(['cases', index]), action: one, resource: resource ?? null })),
  )
}

/** The principal that is meant, at this moment. */
export function asPrincipal(ctx: Ctx, written: WrittenPrincipal): Principal {
  const { kind, id = 'somebody', identity, minutesSinceLogin, actsFor, scope, environments } = written
  return {
    ...written,
    id,
    identity: identity ?? (kind === 'person' ? id : null),
    name: id,
    aal: written.aal as Aal,
    authenticatedAt: minutesSinceLogin === undefined ? null : new Date(ctx.clock.now().getTime() - minutesSinceLogin * MINUTE_MS),
    actsFor: actsFor === undefined ? null : { identity: actsFor },
    scope: scope ?? null,
    environments: environments ?? null,
  }
}

/** Decides each expectation and compares. Throws `bad_input` if an action is not done to things of the given type. */
export function runCases(ctx: Ctx, policies: Policies, expectations: readonly Expectation[]): CaseResult[] {
  // A clock that stands still: a login that is fifteen minutes old at the first case is so at the last.
  const now = ctx.clock.now()
  const still = { ...ctx, clock: { ...ctx.clock, now: () => now, monotonicMs: () => 0 } }
  return expectations.map((each) => {
    const decision = decide(still, policies, each)
    const got = outcomeOf(decision)
    return { ...each, got, policies: decision.policies, passed: got === each.expect }
  })
}

/** The name of what was decided. */
export function outcomeOf({ allowed, stepUp }: Decision): Outcome {
  return allowed ? 'allow' : stepUp === null ? 'deny' : 'step-up'
}

function decide(ctx: Ctx, policies: Policies, { principal, action, resource, line }: Expectation): Decision {
  try {
    return policies.explain(ctx, asPrincipal(ctx, principal), action, resource)
  } catch (error) {
    const message = error instanceof RekeyError ? error.message : 'It cannot be decided.'
    throw new RekeyError('bad_input', 'A case asks for what cannot be.', { faults: [{ message, line }] })
  }
}
