/** What would become of everything of an identity if it were suspended or offboarded: for people, before they do it. */
import {
  type HandoverRule,
  type IdentityRecord,
  identityNamed,
  leavingOf,
  recordsById,
  roadsMadeBy,
  type TokenView,
  tokensOnRecord,
} from '../identity/index.ts'
import { counted, RekeyError } from '../kernel/index.ts'
import { type Allowed, isMine } from '../policy/index.ts'
import type { Sql } from '../store/index.ts'
import { closureResource } from './closure.list.ts'
import type { Relation, Way } from './closure.model.ts'
import { type PlannedItem, planFor, planOfOthers } from './closure.plan.ts'
import type { Targets } from './targets.ts'

/** What would become of one credential. */
export interface PlanView {
  readonly credential: string
  readonly system: string
  readonly accounts: readonly string[]
  readonly way: Way
  readonly why: string
  readonly relation: Relation
  /** From which order on: what is somebody else's is left as it is by a suspension. */
  readonly begins: 'suspension' | 'offboarding'
  readonly consumers: readonly string[]
  readonly suspends: string | null
  readonly destroys: string | null
}

/**
 * What would become of each credential of an identity if it were suspended or offboarded now, its tokens and those that it made among
 * them; and of those of others whose value it knows. Of these the ones that the asker may not read are only counted. Throws `not_found`.
 */
export async function planClosure(
  parts: { readonly store: Sql; readonly targets: Pick<Targets, 'connectorFor'> },
  may: Allowed<'closure:plan'>,
  idOrName: string,
): Promise<PlanView[]> {
  const { store, targets } = parts
  const record = await identityNamed(store, idOrName)
  if (!isMine(may, closureResource('plan', record))) {
    throw new RekeyError('not_found', `No such identity: ${idOrName}`, { hint: 'See rekey identity list.' })
  }
  const own = await planFor(store, targets, record, null)
  const others = await planOfOthers(store, targets, record, null)
  const holders = await recordsById(
    store,
    others.flatMap(({ holder }) => holder ?? []),
  )
  const mine = others.filter(({ holder }) => isMine(may, closureResource('plan', holders.get(holder ?? ''))))
  const hidden = others.length - mine.length
  return [
    ...[...own, ...mine].map(plannedView),
    ...(hidden === 0 ? [] : [hiddenView(hidden)]),
    ...(await plannedTokens(store, record)),
    ...(await plannedRoads(store, record)),
    ...(await plannedWith(store, record)),
  ]
}

function plannedView({ name, system, accounts, way, why, relation, consumers, suspends, destroys }: PlannedItem): PlanView {
  const begins = relation === 'own' ? 'suspension' : 'offboarding'
  return { credential: name, system, accounts, way, why, relation, begins, consumers, suspends, destroys }
}

function hiddenView(count: number): PlanView {
  const credential = `${counted(count, 'credential')} of others`
  const why = 'it knows their values; which they are, you may not read'
  const nothing = { accounts: [], consumers: [], suspends: null, destroys: null }
  return { credential, system: '', way: 'rotate', why, relation: 'consumer', begins: 'offboarding', ...nothing }
}

/** What the identity made that lets others in. Only what is signed by keys that it gave stops with it, for what nobody else answers. */
async function plannedRoads(sql: Sql, { id, name }: IdentityRecord): Promise<PlanView[]> {
  return (await roadsMadeBy(sql, id)).map(({ kind, called, detail, stops }): PlanView => {
    const mend = kind === 'directory' ? 'rotate its token' : 'let somebody else confirm it'
    return {
      credential: called,
      system: 'Rekey',
      accounts: [],
      way: stops ? 'suspend' : 'hand_over',
      why: `${name} ${detail}; ${mend} before`,
      relation: 'own',
      begins: 'suspension',
      consumers: [],
      suspends: stops ? 'its tokens are refused for what nobody else answers for' : null,
      destroys: null,
    }
  })
}

const TAKES_OVER: Readonly<Record<HandoverRule, string>> = {
  manager: 'who is the manager',
  team: 'the team that stays',
  owner_of_owner: 'who owns the leaver',
  parent_team: 'the team around it',
  same_name_team: 'the team of the same name',
  security_contact: 'as nobody else is there',
}

/** What ends or changes hands with it and is no credential of any system. */
async function plannedWith(sql: Sql, { id, name }: IdentityRecord): Promise<PlanView[]> {
  const { sessions, owned, heir, teams } = await leavingOf(sql, id)
  const none = { system: 'Rekey', accounts: [], relation: 'own', consumers: [], destroys: null } as const
  const ending: PlanView = {
    ...none,
    credential: `${counted(sessions, 'session')} of ${name}`,
    way: 'suspend',
    why: `logged in as ${name}`,
    begins: 'suspension',
    suspends: sessions === 1 ? 'it ends at once' : 'they end at once',
  }
  const going: PlanView = {
    ...none,
    credential: `${owned === 1 ? '1 identity' : `${owned} identities`} of ${name}`,
    way: 'hand_over',
    why: heir === null ? '' : `then owned by ${heir.kind} ${heir.name}, ${TAKES_OVER[heir.rule]}`,
    begins: 'offboarding',
    suspends: null,
  }
  const emptied = teams.map((team): PlanView => {
    const { kind, name: to, rule } = team.heir
    const owns = counted(team.owns, 'identity', 'identities')
    const why = `nobody else is in it; the ${owns} that it answers for then owned by ${kind} ${to}, ${TEAMS_HEIR[rule] ?? TAKES_OVER[rule]}`
    return { ...none, credential: `team ${team.name}`, way: 'hand_over', why, begins: 'offboarding', suspends: null }
  })
  return [...(sessions === 0 ? [] : [ending]), ...(heir === null ? [] : [going]), ...emptied]
}

const TEAMS_HEIR: Readonly<Partial<Record<HandoverRule, string>>> = { manager: 'the manager of who leaves last' }

const TOKENS_AT_ONCE = 500

async function plannedTokens(sql: Sql, record: IdentityRecord): Promise<PlanView[]> {
  const found: TokenView[] = []
  for (let after: string | null = null; ; ) {
    const page = await tokensOnRecord(sql, { ended: false, identity: record.id, after, limit: TOKENS_AT_ONCE })
    found.push(...page)
    if (page.length < TOKENS_AT_ONCE) break
    after = page.at(-1)?.id ?? null
  }
  return found.map(({ id, name, identity, actsFor }) => {
    const of = identity?.id === record.id || actsFor?.id === record.id
    const made = `${record.name} made it and may know its text; who rotates it before keeps it for ${identity?.name ?? 'whoever uses it'}`
    return {
      credential: `token ${name} ${id}`,
      system: 'Rekey',
      accounts: [],
      way: 'suspend',
      why: of ? `an API token of ${record.name}` : made,
      relation: 'own',
      begins: 'suspension',
      consumers: of || identity === null ? [] : [identity.name ?? identity.id],
      suspends: 'the API token is refused from the next request on',
      destroys: 'it is revoked, tried and proven dead',
    }
  })
}
