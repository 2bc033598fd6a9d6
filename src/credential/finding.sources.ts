/** The places where findings come from. */
import {
  emptyTeams,
  escalationsOf,
  leftRoads,
  likelyDoubles,
  listMadeByLeavers,
  lostWays,
  openHandovers,
  tokenMatters,
  tokensBeyondMakers,
  unreachableApprovers,
  waitingOffboardings,
  weakRules,
} from '../identity/index.ts'
import { counted } from '../kernel/index.ts'
import { CREDENTIALS, UNOWNED } from './finding.credential.ts'
import { pageOf, type Raw, type Source, words } from './finding.source.ts'
import { reviewOwner } from './review.ts'

const CLOSURES: Source = {
  name: 'closures',
  kinds: ['closure_waits'],
  async read(sql, after, limit) {
    const rows = await sql.query<{
      id: string
      credential_name: string
      system: string
      identity_id: string | null
      state: string
      reason: string | null
      human_kind: 'person' | 'team' | null
      human_id: string | null
      human_name: string | null
      blocked_at: Date
    }>(
      `select i.id, i.credential_name, s.name as system, i.state,
              case when i.relation = 'own' then o.identity_id else c.identity_id end as identity_id,
              i.problem ->> 'reason' as reason, i.human_kind, i.human_id, i.human_name, i.blocked_at
         from closure_item i join closure o on o.id = i.closure_id join system s on s.id = i.system_id
         join credential c on c.id = i.credential_id
        where i.blocked_at is not null and i.state in ('blocked', 'handed_over') and ($1::uuid is null or i.id > $1)
        order by i.id limit $2`,
      [after, limit],
    )
    const found = rows.map((row): Raw => {
      const { human_kind: kind, human_id: id, human_name: name } = row
      const owner = kind !== null && id !== null && name !== null ? { owner: { kind, id, name } } : {}
      const detail = `${row.state.replaceAll('_', ' ')}: ${row.reason ?? 'no reason is kept'}`
      return {
        kind: 'closure_waits',
        key: row.id,
        subject: row.credential_name,
        system: row.system,
        identity: row.identity_id,
        ...owner,
        detail,
        since: row.blocked_at,
      }
    })
    return { found, last: pageOf(rows, limit, (row) => row.id) }
  },
}

const EXCEPTIONS: Source = {
  name: 'exceptions',
  kinds: ['exception_past'],
  async read(sql, after, limit) {
    const rows = await sql.query<{
      id: string
      name: string
      system: string
      identity_id: string
      owner_kind: 'person' | 'team'
      owner_id: string
      owner_name: string
      kind: string
      waits_for: string
      ends_at: Date
    }>(
      `select e.id, c.name, s.name as system, c.identity_id, e.owner_kind, e.owner_id, e.owner_name, e.kind, e.waits_for, e.ends_at
         from exception e join credential c on c.id = e.credential_id join system s on s.id = c.system_id
        where e.closed_at is null and e.ends_at <= now() and ($1::uuid is null or e.id > $1) order by e.id limit $2`,
      [after, limit],
    )
    const found = rows.map(
      (row): Raw => ({
        kind: 'exception_past',
        key: row.id,
        subject: row.name,
        system: row.system,
        identity: row.identity_id,
        owner: { kind: row.owner_kind, id: row.owner_id, name: row.owner_name },
        detail: `${row.kind.replaceAll('_', ' ')} past its date; it waits for: ${row.waits_for}`,
        since: row.ends_at,
      }),
    )
    return { found, last: pageOf(rows, limit, (row) => row.id) }
  },
}

const REVIEWS: Source = {
  name: 'reviews',
  kinds: ['review_overdue'],
  async read(sql, after, limit) {
    const rows = await sql.query<ReviewOverdue>(
      `select r.id, c.name, s.name as system, c.identity_id, r.why, r.due_at, e.owner_kind, e.owner_id, e.owner_name
         from review r join credential c on c.id = r.credential_id join system s on s.id = c.system_id
         left join exception e on e.id = r.exception_id
        where r.done_at is null and r.due_at <= now() and ($1::uuid is null or r.id > $1) order by r.id limit $2`,
      [after, limit],
    )
    const told = await escalationsOf(
      sql,
      rows.map((row) => ({ identity: row.identity_id, owner: reviewOwner(row) })),
    )
    const found = rows.map((row, at): Raw => {
      const { to, reached } = told[at] ?? { to: [], reached: false }
      return {
        kind: 'review_overdue',
        key: row.id,
        subject: row.name,
        system: row.system,
        identity: row.identity_id,
        ...(to[0] === undefined ? {} : { owner: to[0] }),
        detail: `its review as ${words(row.why)} was not done${reached ? '' : ', and there is nobody who could be told'}`,
        since: row.due_at,
      }
    })
    return { found, last: pageOf(rows, limit, (row) => row.id) }
  },
}

interface ReviewOverdue {
  readonly id: string
  readonly name: string
  readonly system: string
  readonly identity_id: string | null
  readonly why: string
  readonly due_at: Date
  readonly owner_kind: 'person' | 'team' | null
  readonly owner_id: string | null
  readonly owner_name: string | null
}

const HANDOVERS: Source = {
  name: 'handovers',
  kinds: ['handover'],
  async read(sql, after, limit) {
    const open = await openHandovers(sql, { ...(after === null ? {} : { after }), limit })
    const found = open.map(
      (it): Raw => ({
        kind: 'handover',
        key: it.id,
        subject: it.identityName,
        system: null,
        identity: it.identity,
        owner: it.to,
        detail: `handed over from ${it.from.name} by the rule ${words(it.rule)}, because it was ${words(it.cause)}`,
        since: it.at,
      }),
    )
    return { found, last: pageOf(open, limit, (it) => it.id) }
  },
}

const DOUBLES: Source = {
  name: 'doubles',
  kinds: ['likely_double'],
  async read(sql, after, limit) {
    const { found, last } = await likelyDoubles(sql, { after, limit })
    const raw = found.map(({ id, name, others, since }): Raw => {
      const names = others.slice(0, 5).join(', ')
      const detail = `it shares an address with ${names}; until somebody says otherwise they are taken for one person`
      return { kind: 'likely_double', key: id, subject: name, system: null, identity: id, detail, since }
    })
    return { found: raw, last }
  },
}

const OFFBOARDINGS: Source = {
  name: 'offboardings',
  kinds: ['offboarding_waits'],
  async read(sql, after, limit) {
    const { found, last } = await waitingOffboardings(sql, { after, limit })
    const raw = found.map(({ id, identity, name, provider, why, since }): Raw => {
      const detail = `${provider} ordered its offboarding, which waits: ${why}`
      return { kind: 'offboarding_waits', key: id, subject: name, system: null, identity, detail, since }
    })
    return { found: raw, last }
  },
}

const WAYS: Source = {
  name: 'ways',
  kinds: ['way_lost'],
  async read(sql, after, limit) {
    const { found, last } = await lostWays(sql, { after, limit })
    const raw = found.map(({ id, what, name, provider, since }): Raw => {
      const person = what === 'identity'
      const did = person ? 'suspended it' : 'took people out of this team, or the team away'
      const detail = `${provider} ${did}, and nobody is left who can log in and could change policy`
      return { kind: 'way_lost', key: id, subject: name, system: null, identity: person ? id : null, detail, since }
    })
    return { found: raw, last }
  },
}

/** How long a leaver may have come in as somebody whom they made, days: later, others have had to do with that person. */
const MADE_DAYS = 30

const MADE: Source = {
  name: 'made',
  kinds: ['made_by_leaver'],
  async read(sql, after, limit) {
    const rows = await listMadeByLeavers(sql, after, limit, MADE_DAYS)
    const found = rows.map(({ id, name, makers, came, since }): Raw => {
      const state = came ? 'has logged in since: the maker held its code' : 'has never logged in'
      const detail = `made an administrator by ${makers.join(', ')}, not active; it ${state}`
      return { kind: 'made_by_leaver', key: id, subject: name, system: null, identity: id, detail, since }
    })
    return { found, last: pageOf(rows, limit, (row) => row.id) }
  },
}

const UNREACHABLE: Source = {
  name: 'unreachable',
  kinds: ['unreachable_approver'],
  async read(sql, after, limit) {
    const { found, last } = await unreachableApprovers(sql, { after, limit })
    const raw = found.map(({ id, name, since }): Raw => {
      const detail = 'a rule asks for its approval, and it has no mail address to which notices could go'
      return { kind: 'unreachable_approver', key: id, subject: name, system: null, identity: id, detail, since }
    })
    return { found: raw, last }
  },
}

const EMPTY_TEAMS: Source = {
  name: 'teams',
  kinds: ['empty_team'],
  async read(sql, after, limit) {
    const { found, last } = await emptyTeams(sql, { after, limit })
    const raw = found.map(({ id, name, contact, owns, rules, roles, leftBy, gone, since }): Raw => {
      const why = [
        ...(leftBy === null ? [] : [`${leftBy} deleted its group, and it is kept by hand since`]),
        ...(contact ? ['what nobody else answers for comes to it'] : []),
        ...(owns > 0 ? [`it owns ${counted(owns, 'identity', 'identities')}`] : []),
        ...(rules.length > 0 ? [`its approval is asked for ${rules.join(', ')}`] : []),
        ...(roles.length > 0 ? [`it holds ${roles.join(', ')}`] : []),
      ]
      const detail = `${gone ? 'there is no such team any more' : 'nobody active is in it'}: ${why.join('; ')}`
      return { kind: 'empty_team', key: id, subject: name, system: null, identity: null, detail, since }
    })
    return { found: raw, last }
  },
}

const VERSIONS: Source = {
  name: 'versions',
  kinds: ['irrevocable', 'unprovable'],
  async read(sql, after, limit) {
    const rows = await sql.query<{
      id: string
      number: number
      state: 'irrevocable' | 'unprovable'
      name: string
      system: string
      identity_id: string | null
      at: Date
    }>(
      `select v.id, v.number, v.state, c.name, s.name as system, c.identity_id, coalesce(v.revoked_at, v.created_at) as at
         from version v join credential c on c.id = v.credential_id join system s on s.id = c.system_id
        where v.state in ('irrevocable', 'unprovable') and ($1::uuid is null or v.id > $1) order by v.id limit $2`,
      [after, limit],
    )
    const found = rows.map(
      (row): Raw => ({
        kind: row.state,
        key: row.id,
        subject: row.name,
        system: row.system,
        identity: row.identity_id,
        detail:
          row.state === 'irrevocable' ? `version ${row.number} cannot be revoked` : `nobody can prove that version ${row.number} is dead`,
        since: row.at,
      }),
    )
    return { found, last: pageOf(rows, limit, (row) => row.id) }
  },
}

const REFUSED: Source = {
  name: 'refused',
  kinds: ['value_refused'],
  async read(sql, after, limit) {
    const rows = await sql.query<{
      id: string
      number: number
      name: string
      system: string
      identity_id: string | null
      code: string
      at: string
    }>(
      `select v.id, v.number, c.name, s.name as system, c.identity_id, v.last_probe ->> 'code' as code, v.last_probe ->> 'at' as at
         from version v join credential c on c.id = v.credential_id join system s on s.id = c.system_id
        where v.state = 'current' and v.last_probe ->> 'outcome' = 'refused' and s.decommissioned_at is null
          and not exists (select 1 from closure_item i where i.credential_id = c.id and i.ended_at is null)
          and ($1::uuid is null or v.id > $1) order by v.id limit $2`,
      [after, limit],
    )
    const found = rows.map(
      ({ id, number, name, system, identity_id, code, at }): Raw => ({
        ...{ kind: 'value_refused', key: id, subject: name, system, identity: identity_id, since: new Date(at) },
        detail: `the value in use, version ${number}, was refused when it was last tried (${code})`,
      }),
    )
    return { found, last: pageOf(rows, limit, (row) => row.id) }
  },
}

const WEAK_RULES: Source = {
  name: 'rules',
  kinds: ['weak_rule'],
  async read(sql, after, limit) {
    const weak = await weakRules(sql, { after, limit })
    const found = weak.map((it): Raw => {
      const prefixes = Object.entries(it.prefixes).map(([claim, prefix]) => `${claim} beginning with ${JSON.stringify(prefix)}`)
      return {
        kind: 'weak_rule',
        key: it.id,
        subject: it.identity.name ?? it.issuer,
        system: null,
        identity: it.identity.id,
        detail: `tokens of ${it.issuer} with ${prefixes.join(' and ')} count as it: whoever can make such a name is let in`,
        since: it.createdAt,
      }
    })
    return { found, last: pageOf(weak, limit, (it) => it.id) }
  },
}

const TOKENS: Source = {
  name: 'tokens',
  kinds: ['token_of_nobody', 'token_stopped'],
  async read(sql, after, limit) {
    const matters = await tokenMatters(sql, after, limit)
    const found = matters.map(({ id, name, identity, stoppedFor, since }): Raw => {
      const about = { key: id, subject: name, system: null, identity, since }
      if (stoppedFor === null)
        return { ...about, kind: 'token_of_nobody', detail: 'nobody on record made this API token, and it has no identity' }
      return { ...about, kind: 'token_stopped', detail: `this API token is refused: ${stoppedFor.join(', ')} made it, and is not active` }
    })
    return { found, last: pageOf(matters, limit, (it) => it.id) }
  },
}

const BEYOND: Source = {
  name: 'beyond',
  kinds: ['token_beyond_maker'],
  async read(sql, after, limit) {
    const { found, last } = await tokensBeyondMakers(sql, after, limit)
    const raw = found.map(({ id, name, identity, makers, since }): Raw => {
      const detail = `this API token can do more than ${makers.slice(0, 5).join(', ')}, who made it and may know it`
      return { kind: 'token_beyond_maker', key: id, subject: name, system: null, identity, detail, since }
    })
    return { found: raw, last }
  },
}

const ROADS: Source = {
  name: 'roads',
  kinds: ['road_of_leaver', 'secret_of_leaver'],
  async read(sql, after, limit) {
    const { found, last } = await leftRoads(sql, { after, limit })
    const raw = found.map(({ kind, id, called, makers, detail, since }): Raw => {
      const who = `${makers.slice(0, 5).join(', ')}, not active any more, ${detail}`
      const of = kind === 'channel' ? 'secret_of_leaver' : 'road_of_leaver'
      return { kind: of, key: id, subject: called, system: null, identity: null, detail: who, since }
    })
    return { found: raw, last }
  },
}

/** Every place that findings come from. Each reads in the order of the ids that are its keys. */
export const SOURCES: readonly Source[] = [
  CLOSURES,
  EXCEPTIONS,
  REVIEWS,
  HANDOVERS,
  OFFBOARDINGS,
  WAYS,
  MADE,
  UNREACHABLE,
  EMPTY_TEAMS,
  DOUBLES,
  WEAK_RULES,
  VERSIONS,
  REFUSED,
  CREDENTIALS,
  UNOWNED,
  TOKENS,
  BEYOND,
  ROADS,
]
