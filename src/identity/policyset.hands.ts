/** Whom a set of policies would give directory rights and credential rights together, by the roles as they are bound. */
import { type Ctx, type Json, RekeyError } from '../kernel/index.ts'
import { type Action, factsOf, type Grip, type Hand, type Holder, holdersOf, type PolicySet, placeOf } from '../policy/index.ts'
import type { Sql, Tx } from '../store/index.ts'
import * as rows from './role.hands.store.ts'
import { requireForce, settleForced, tellForced } from './role.hands.ts'

/** What puts one hand there: a role, team or policy, and the actions of that hand that it lets do. */
export interface HandView {
  readonly hand: Hand
  /** `Role::"operator"`, `Team::"…"` or `Person::"…"`, as policies write it. */
  readonly by: string
  readonly actions: readonly Action[]
}

/** Somebody, or a token, who would hold both hands. */
export interface BothHandsView {
  readonly kind: 'identity' | 'token'
  readonly id: string
  readonly name: string
  readonly hands: readonly HandView[]
}

/** Named in one message, each with so many actions. */
const NAMED = 5
const ACTIONS_NAMED = 3
/** Described in what others approve. */
const SHOWN = 20

/** Who would hold both hands under `next` and does not under `now`; by name. */
export async function newlyBoth(sql: Sql, now: PolicySet | null, next: PolicySet): Promise<BothHandsView[]> {
  const before = now === null ? [] : await rows.holdersOfBoth(sql, now.policies)
  const fresh = rows.newlyHeld(before, await rows.holdersOfBoth(sql, next.policies))
  const handOf = handsIn(next)
  return fresh.map(({ kind, id, name, by }) => ({ kind, id, name, hands: by.map(handOf) }))
}

function handsIn(set: PolicySet): (grip: Grip) => HandView {
  const keyOf = (place: Pick<Grip, 'kind' | 'id'> | null) => `${place?.kind} ${place?.id}`
  const holders = new Map(holdersOf(set.policies).map((holder) => [keyOf(placeOf(holder)), holder]))
  const self = holders.get(keyOf({ kind: 'role', id: 'self' }))
  return ({ kind, id, hand }) => {
    const holder = holders.get(keyOf({ kind, id }))
    const own = actionsOf(holder, hand)
    // What is in that hand only by what every person has.
    if (own.length === 0 && self !== undefined) return { hand, by: self.name, actions: actionsOf(self, hand) }
    return { hand, by: holder?.name ?? id, actions: own }
  }
}

function actionsOf(holder: Holder | undefined, hand: Hand): Action[] {
  return [...(holder?.actions ?? [])].filter((action) => !factsOf(action).reads && factsOf(action).family === hand).sort()
}

/** Throws `wrong_state` naming whom, by what and for which actions, unless it is forced; `bad_input` if the reason is too short. */
export function requireForcedSet(found: readonly BothHandsView[], force: boolean, reason: string): void {
  if (found.length === 0) return
  const more = found.length > NAMED ? ` And ${found.length - NAMED} more.` : ''
  requireForce({ force, reason }, `${found.slice(0, NAMED).map(inWords).join(' ')}${more}`)
}

function inWords({ kind, name, hands }: BothHandsView): string {
  const of = (hand: Hand) =>
    hands.flatMap((one) => {
      const rest = one.actions.length - ACTIONS_NAMED
      const named = one.actions.slice(0, ACTIONS_NAMED).join(', ')
      return one.hand === hand ? [`${one.by}: ${named}${rest > 0 ? ` and ${rest} more` : ''}`] : []
    })
  const who = `${kind === 'token' ? 'The token ' : ''}${name}`
  const [directory, credential] = [of('directory').join('; '), of('credential').join('; ')]
  return `${who} would hold directory rights (${directory}) and credential rights (${credential}) together.`
}

/** The lines of this for those who approve; none where nobody would. */
export function handsAsked(found: readonly BothHandsView[]): { readonly lines: string[]; readonly facts: Record<string, Json> } {
  if (found.length === 0) return { lines: [], facts: {} }
  const rest = found.length - SHOWN
  return {
    lines: [
      'Directory rights and credential rights then come together in one hand, by force:',
      ...found.slice(0, SHOWN).map((one) => `- ${inWords(one)}`),
      ...(rest > 0 ? [`- and ${rest} more`] : []),
    ],
    facts: { bothHands: found.slice(0, SHOWN).map(({ kind, id }) => ({ kind, id })), bothHandsCount: found.length },
  }
}

/**
 * To be called in the transaction that brings a set into force: records who holds both hands from now on, and why (`role.forced`). Throws
 * `wrong_state` for anybody who was not found when it was proposed: nobody has forced that.
 */
export async function recordBoth(
  tx: Tx,
  ctx: Ctx,
  sets: { readonly now: PolicySet | null; readonly next: PolicySet },
  proposal: { readonly id: string; readonly words: string; readonly both_hands: readonly BothHandsView[] },
): Promise<void> {
  const found = await newlyBoth(tx, sets.now, sets.next)
  const forced = new Set(proposal.both_hands.map(({ kind, id }) => `${kind} ${id}`))
  const late = found.filter(({ kind, id }) => !forced.has(`${kind} ${id}`))
  if (late.length > 0) {
    throw new RekeyError(
      'wrong_state',
      `Since it was proposed roles were given to others: ${late.slice(0, NAMED).map(inWords).join(' ')}`,
      {
        hint: 'Leave them in different hands, or propose it again and force it with a reason.',
      },
    )
  }
  const people = found.flatMap(({ kind, id }) => (kind === 'identity' ? [id] : []))
  await rows.noteForced(tx, ctx, people, proposal.words)
  await settleForced(tx, sets.next)
  const subject = proposal.words.replace(/\p{Cc}/gu, ' ')
  const event = { subject, links: { policySet: proposal.id }, reason: proposal.words } as const
  if (people.length > 0) await tellForced(tx, ctx, { ...event, to: 'identity' }, people)
  for (const { kind, id } of found) {
    if (kind === 'token') await tellForced(tx, ctx, { ...event, links: { ...event.links, token: id }, to: 'token' }, [])
  }
}

/** In a transaction that brings a set into force which nobody could refuse: who holds both hands by it, as facts of its event. */
export async function noteBoth(tx: Tx, ctx: Ctx, now: PolicySet | null, next: PolicySet): Promise<Record<string, Json>> {
  const found = now === null ? [] : await newlyBoth(tx, now, next)
  if (found.length === 0) return {}
  ctx.log.warn(
    { count: found.length },
    'by the default policies of this version somebody holds directory rights and credential rights together',
  )
  return { bothHands: found.slice(0, SHOWN).map(({ kind, id }) => ({ kind, id })), bothHandsCount: found.length }
}

/** Of the event of a proposal. */
export function handsFacts(found: readonly BothHandsView[]): Record<string, Json> {
  return handsAsked(found).facts
}
