import type { Sql, Tx } from '../store/index.ts'
import type { ApprovalState, Eligible, Factor } from './approval.model.ts'

export interface ApprovalRow {
  readonly id: string
  readonly action: string
  readonly subject: string
  readonly what: string
  readonly words: string
  readonly digest: string
  readonly state: ApprovalState
  readonly requester_kind: string
  readonly requester_id: string
  readonly requester_identity: string | null
  readonly requester_name: string
  readonly excluded: readonly string[]
  readonly about: readonly string[]
  readonly requested_at: Date
  readonly expires_at: Date
  readonly remind_at: Date | null
  readonly ended_at: Date | null
  readonly bypassed_by: string | null
  readonly bypass_reason: string | null
  readonly withdrawn_reason: string | null
}

export const APPROVAL = `id, action, subject, what, words, digest, state, requester_kind, requester_id, requester_identity, requester_name,
  excluded, about, requested_at, expires_at, remind_at, ended_at, bypassed_by, bypass_reason, withdrawn_reason`

export interface DecisionRow {
  readonly id: string
  readonly identity_id: string
  readonly name: string
  readonly decision: 'approve' | 'reject'
  readonly reason: string
  readonly aal: 0 | 1 | 2 | 3
  readonly authenticated_at: Date | null
  readonly passkey: string | null
  readonly passkey_at: Date | null
  readonly at: Date
  readonly taken_back_at: Date | null
  readonly taken_back_reason: string | null
}

export interface FactorRow extends Factor {
  readonly position: number
  readonly teamName: string
}

export async function insertApproval(tx: Tx, row: ApprovalRow): Promise<void> {
  await tx.query(
    `insert into approval (${APPROVAL})
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, null, null, null, null)`,
    [
      row.id,
      row.action,
      row.subject,
      row.what,
      row.words,
      row.digest,
      row.state,
      row.requester_kind,
      row.requester_id,
      row.requester_identity,
      row.requester_name,
      row.excluded,
      row.about,
      row.requested_at,
      row.expires_at,
      row.remind_at,
    ],
  )
}

export async function findApproval(sql: Sql, id: string): Promise<ApprovalRow | null> {
  const [row] = await sql.query<ApprovalRow>(`select ${APPROVAL} from approval where id = $1`, [id])
  return row ?? null
}

/** The row, locked: whoever decides, takes back or consumes does so one after the other. */
export async function lockApproval(tx: Tx, id: string): Promise<ApprovalRow | null> {
  const [row] = await tx.query<ApprovalRow>(`select ${APPROVAL} from approval where id = $1 for update`, [id])
  return row ?? null
}

/** Requests for one digest that are not at an end: those that were let through first, then the newest. */
export async function openByDigest(sql: Sql, digest: string): Promise<ApprovalRow[]> {
  return sql.query(
    `select ${APPROVAL} from approval where digest = $1 and state in ('requested', 'approved', 'bypassed')
      order by state = 'requested', id desc limit 20`,
    [digest],
  )
}

/**
 * Canonical JSON without whom it reaches. A quote within a text is escaped, so this is found where it is a key only; what only looks alike
 * is left to the caller to tell apart. As in the index `approval_alike`.
 */
const apart = (what: string) => String.raw`regexp_replace(${what}, '"people":(\[[^]]*\]|\{[^}]*\})', '', 'g')`

type Asked = Pick<ApprovalRow, 'action' | 'subject' | 'what' | 'digest'>

/** Those that are open for this subject, whatever else they say. */
export async function openBySubject(sql: Sql, action: string, subject: string): Promise<ApprovalRow[]> {
  return sql.query(
    `select ${APPROVAL} from approval where action = $1 and subject = $2 and state in ('requested', 'approved', 'bypassed')
      order by id desc limit 200`,
    [action, subject],
  )
}

/**
 * Those that are open for the same apart from whom it reaches: first the very same, then what was let through, then the newest. Requests
 * for anything else, however many, take no place among them: with 200 of other reasons, what was approved was found no more.
 */
export async function openAlike(sql: Sql, { action, subject, what, digest }: Asked): Promise<ApprovalRow[]> {
  return sql.query(
    `select ${APPROVAL} from approval
      where hashtextextended(${apart('what')}, 0) = hashtextextended(${apart('$3::text')}, 0) and ${apart('what')} = ${apart('$3::text')}
        and action = $1 and subject = $2 and state in ('requested', 'approved', 'bypassed')
      order by digest <> $4, state = 'requested', id desc limit 50`,
    [action, subject, what, digest],
  )
}

/** Those that are open for the offboarding of this identity: by its id, since the name may be another by now. */
export async function openOffboardings(sql: Sql, identity: string): Promise<ApprovalRow[]> {
  return sql.query(
    `select ${APPROVAL} from approval where action = 'identity:offboard' and state in ('requested', 'approved', 'bypassed')
      and what::jsonb ->> 'identity' = $1 order by id`,
    [identity],
  )
}

/** Equal questions wait for one another, so that two of them make one request. */
export async function lockDigest(tx: Tx, digest: string): Promise<void> {
  await tx.query('select pg_advisory_xact_lock(hashtextextended($1, 7395020))', [digest])
}

/** False if the row is not in `from` any more. */
export async function moveApproval(tx: Tx, id: string, from: ApprovalState, to: ApprovalState, endedAt: Date | null): Promise<boolean> {
  const done = await tx.query(
    `update approval set state = $3, ended_at = $4, remind_at = case when $3 in ('requested', 'approved') then remind_at end
      where id = $1 and state = $2 returning id`,
    [id, from, to, endedAt],
  )
  return done.length === 1
}

export async function noteWithdrawal(tx: Tx, id: string, reason: string): Promise<void> {
  await tx.query('update approval set withdrawn_reason = $2 where id = $1', [id, reason])
}

export async function noteBypass(tx: Tx, id: string, by: string, reason: string): Promise<void> {
  await tx.query('update approval set bypassed_by = $2, bypass_reason = $3 where id = $1', [id, by, reason])
}

export async function setReminder(tx: Tx, id: string, at: Date | null): Promise<void> {
  await tx.query('update approval set remind_at = $2 where id = $1', [id, at])
}

/** Ids of open requests: past their time, to be reminded of, or approved (which a removal may have undone). Not those that others hold. */
export async function dueApprovals(tx: Tx, now: Date, limit: number): Promise<ApprovalRow[]> {
  return tx.query(
    `select ${APPROVAL} from approval
      where state in ('requested', 'approved', 'bypassed') and (expires_at <= $1 or remind_at <= $1) order by expires_at limit $2
        for update skip locked`,
    [now, limit],
  )
}

export async function approvedIds(sql: Sql, limit: number): Promise<string[]> {
  const rows = await sql.query<{ id: string }>("select id from approval where state = 'approved' order by expires_at limit $1", [limit])
  return rows.map(({ id }) => id)
}

const POSITIONED = `jsonb_to_recordset($2::jsonb)
  as f(position smallint, team uuid, "teamName" text, count smallint, aal smallint, passkey boolean)`

export async function insertFactors(tx: Tx, id: string, factors: readonly FactorRow[]): Promise<void> {
  await tx.query(
    `insert into approval_factor (approval_id, position, team_id, team_name, count, aal, passkey)
     select $1, f.position, f.team, f."teamName", f.count, f.aal, f.passkey from ${POSITIONED}`,
    [id, JSON.stringify(factors)],
  )
}

export async function factorsOfApproval(sql: Sql, id: string): Promise<FactorRow[]> {
  return sql.query(
    `select position, team_id as team, team_name as "teamName", count, aal, passkey from approval_factor
      where approval_id = $1 order by position`,
    [id],
  )
}

/** Active people of the factors' teams, nested ones included, by factor; without those whom `excluded` names. */
function people(factors: string, excluded: string): string {
  return `with recursive below(position, id) as (
      ${factors}
      union
      select b.position, n.child_id from team_nesting n join below b on n.parent_id = b.id)
    select distinct b.position, p.id as identity, p.name
      from below b join team_member m on m.team_id = b.id join identity p on p.id = m.identity_id
     where p.kind = 'human' and p.status = 'active' and p.id::text <> all(${excluded})`
}

export interface ApproverRow {
  readonly position: number
  readonly identity: string
  readonly name: string
}

/** Whom the factors of a new request name. */
export async function candidates(sql: Sql, teams: readonly string[], excluded: readonly string[]): Promise<ApproverRow[]> {
  return sql.query(
    `${people('select (t.at - 1)::smallint, t.id from unnest($1::uuid[]) with ordinality t(id, at)', '$2::text[]')} order by 1, 3`,
    [teams, excluded],
  )
}

/** Those who were asked and are still eligible now. */
export async function eligibleNow(sql: Sql, id: string, excluded: readonly string[]): Promise<Eligible> {
  const now = people('select f.position, f.team_id from approval_factor f where f.approval_id = $1', '$2::text[]')
  return sql.query(
    `select a.position, a.identity_id as identity from approval_approver a join (${now}) e
         on e.position = a.position and e.identity = a.identity_id where a.approval_id = $1`,
    [id, excluded],
  )
}

export async function insertApprovers(tx: Tx, id: string, approvers: readonly ApproverRow[]): Promise<void> {
  await tx.query(
    `insert into approval_approver (approval_id, position, identity_id, name)
     select $1, a.position, a.identity, a.name from jsonb_to_recordset($2::jsonb) as a(position smallint, identity uuid, name text)`,
    [id, JSON.stringify(approvers)],
  )
}

/** Who was asked, by factor and name. */
export async function approversOf(sql: Sql, id: string): Promise<ApproverRow[]> {
  return sql.query(
    `select position, identity_id as identity, name from approval_approver where approval_id = $1 order by position, name collate "C"`,
    [id],
  )
}

/** Holds those people where they are until the end of the transaction: a suspension waits. */
export async function holdPeople(tx: Tx, ids: readonly string[]): Promise<void> {
  if (ids.length > 0) await tx.query('select id from identity where id = any($1::uuid[]) order by id for share', [ids])
}

export async function isActivePerson(sql: Sql, id: string): Promise<boolean> {
  return (await sql.query("select id from identity where id = $1 and kind = 'human' and status = 'active'", [id])).length === 1
}

const DECISION = 'id, identity_id, name, decision, reason, aal, authenticated_at, passkey, passkey_at, at, taken_back_at, taken_back_reason'

export async function decisionsOf(sql: Sql, id: string): Promise<DecisionRow[]> {
  return sql.query(`select ${DECISION} from approval_decision where approval_id = $1 order by at, id`, [id])
}

export async function insertDecision(
  tx: Tx,
  approval: string,
  row: Omit<DecisionRow, 'taken_back_at' | 'taken_back_reason'>,
): Promise<void> {
  await tx.query(
    `insert into approval_decision (id, approval_id, identity_id, name, decision, reason, aal, authenticated_at, passkey, passkey_at, at)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`,
    [
      row.id,
      approval,
      row.identity_id,
      row.name,
      row.decision,
      row.reason,
      row.aal,
      row.authenticated_at,
      row.passkey,
      row.passkey_at,
      row.at,
    ],
  )
}

export async function takeBackDecision(tx: Tx, approval: string, identity: string, at: Date, reason: string): Promise<boolean> {
  const done = await tx.query(
    `update approval_decision set taken_back_at = $3, taken_back_reason = $4
      where approval_id = $1 and identity_id = $2 and taken_back_at is null returning id`,
    [approval, identity, at, reason],
  )
  return done.length === 1
}

export interface ListedRow extends ApprovalRow {
  /** Whether whoever looks was asked. */
  readonly named: boolean
  readonly undecided: boolean
}

const NAMED = 'exists (select from approval_approver p where p.approval_id = a.id and p.identity_id = $2::uuid)'
const DECIDED = `exists (select from approval_decision d
  where d.approval_id = a.id and d.identity_id = $2::uuid and d.taken_back_at is null)`
const ASKED = `(a.requester_id = $1 or a.requester_identity = $2::uuid::text)`
const LISTED = {
  mine: `(${NAMED} or ${ASKED})`,
  decide: `a.state = 'requested' and a.expires_at > $3 and ${NAMED} and not ${DECIDED}`,
  requested: ASKED,
  all: 'true',
}

export async function listApprovals(
  sql: Sql,
  page: {
    readonly of: keyof typeof LISTED
    readonly id: string
    readonly identity: string | null
    readonly now: Date
    readonly after: string | null
    readonly limit: number
  },
): Promise<ListedRow[]> {
  return sql.query(
    `select ${APPROVAL}, ${NAMED} as named, ${NAMED} and not ${DECIDED} as undecided from approval a
      where $1::text is not null and $3::timestamptz is not null and ($4::uuid is null or a.id < $4) and ${LISTED[page.of]}
      order by a.id desc limit $5`,
    [page.id, page.identity, page.now, page.after, page.limit],
  )
}

/** How many requests that are still open ask this team. */
export async function openRequestsTo(sql: Sql, team: string): Promise<number> {
  const [row] = await sql.query<{ count: number }>(
    `select count(distinct a.id)::int as count from approval_factor f join approval a on a.id = f.approval_id
      where f.team_id = $1 and a.state in ('requested', 'approved', 'bypassed')`,
    [team],
  )
  return row?.count ?? 0
}
