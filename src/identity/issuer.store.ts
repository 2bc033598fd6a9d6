import type { Json } from '../kernel/index.ts'
import type { Sql, Tx } from '../store/index.ts'
import type { IssuerFields, IssuerType, KeySource, Replay, RuleFields } from './issuer.model.ts'
import { leftAlone } from './road.store.ts'

/** A rule on record. */
export interface Rule extends RuleFields {
  readonly id: string
  readonly identity: string
  readonly actsFor: string | null
  /** Who mapped it; null: nobody is on record. */
  readonly makers: readonly string[] | null
}

/** An issuer on record. */
export interface Issuer extends IssuerFields {
  readonly id: string
  /** Who added it, or confirmed it later; null: nobody is on record. */
  readonly makers: readonly string[] | null
}

interface Row {
  readonly id: string
  readonly name: string
  readonly type: IssuerType
  readonly origin: string
  readonly audience: string
  readonly keys_from: KeySource['from']
  readonly jwks_url: string | null
  readonly jwks: Json
  readonly algorithms: readonly string[]
  readonly max_token_age_seconds: number
  readonly clock_skew_seconds: number
  readonly keys_max_age_seconds: number
  readonly replay: Replay
  readonly makers: readonly string[] | null
}

const COLUMNS = `i.id, i.name, i.type, i.origin, i.audience, i.keys_from, i.jwks_url, i.jwks, i.algorithms, i.max_token_age_seconds,
  i.clock_skew_seconds, i.keys_max_age_seconds, i.replay, i.makers`
const RULE = `r.id, r.part, r.identity_id as identity, r.claims, r.prefixes, r.scope, r.environments, r.acts_for_id as "actsFor",
  r.hardware, r.makers`

function issuerOf(row: Row): Issuer {
  const keys: KeySource =
    row.keys_from === 'inline'
      ? { from: 'inline', jwks: row.jwks }
      : row.jwks_url === null
        ? { from: 'discovery' }
        : { from: 'url', url: row.jwks_url }
  return {
    id: row.id,
    name: row.name,
    type: row.type,
    origin: row.origin,
    audience: row.audience,
    keys,
    algorithms: row.algorithms,
    maxTokenAgeSeconds: row.max_token_age_seconds,
    clockSkewSeconds: row.clock_skew_seconds,
    keysMaxAgeSeconds: row.keys_max_age_seconds,
    replay: row.replay,
    makers: row.makers,
  }
}

/** An issuer on record. `leftAlone`: who made it is not active, and nobody has confirmed it. */
export type TrustedIssuer = Issuer & { readonly leftAlone: boolean }

/** The issuer that `iss` names, else the trust domain. Read at each token: who is removed is trusted no more, at every server. */
export async function trustedIssuer(sql: Sql, iss: string | null, trustDomain: string | null): Promise<TrustedIssuer | null> {
  const [row] = await sql.query<Row & { left_alone: boolean }>(
    `select ${COLUMNS}, ${leftAlone('i')} as left_alone from issuer i
      where (i.type <> 'spiffe' and i.origin = $1) or (i.type = 'spiffe' and i.origin = $2) order by i.type = 'spiffe' limit 1`,
    [iss, trustDomain],
  )
  return row === undefined ? null : { ...issuerOf(row), leftAlone: row.left_alone }
}

/** Whether somebody who is active answers for an identity, other than these people, and not only since it was handed over from them. */
export async function othersRely(sql: Sql, identity: string, people: readonly string[]): Promise<boolean> {
  const found = await sql.query(
    `select i.id from identity i left join identity o on o.id = i.owner_identity_id
      where i.id = $1 and (i.owner_team_id is not null or (o.status = 'active' and o.id <> all($2::uuid[])))
        and not exists (select from handover h where h.identity_id = i.id and h.settled_at is null and h.from_id = any($2::uuid[]))`,
    [identity, people],
  )
  return found.length > 0
}

/** All of them: there are few. */
export async function trustedIssuers(sql: Sql): Promise<Issuer[]> {
  return (await sql.query<Row>(`select ${COLUMNS} from issuer i order by i.id`)).map(issuerOf)
}

export async function rulesOf(sql: Sql, issuerId: string): Promise<Rule[]> {
  return sql.query(`select ${RULE} from issuer_rule r where r.issuer_id = $1 order by r.id`, [issuerId])
}

/** False if the name or the origin is taken. */
export async function insertIssuer(tx: Tx, issuer: Issuer, at: Date, by: string): Promise<boolean> {
  const { keys } = issuer
  const done = await tx.query(
    `insert into issuer (id, name, type, origin, audience, keys_from, jwks_url, jwks, algorithms, max_token_age_seconds,
       clock_skew_seconds, keys_max_age_seconds, replay, created_at, created_by, makers)
     values ($1, $2, $3, $4, $5, $6, $7, $8::jsonb, $9, $10, $11, $12, $13, $14, $15, $16) on conflict do nothing returning id`,
    [
      ...[issuer.id, issuer.name, issuer.type, issuer.origin, issuer.audience, keys.from, keys.from === 'url' ? keys.url : null],
      ...[keys.from === 'inline' ? JSON.stringify(keys.jwks) : null, issuer.algorithms, issuer.maxTokenAgeSeconds],
      ...[issuer.clockSkewSeconds, issuer.keysMaxAgeSeconds, issuer.replay, at, by, issuer.makers],
    ],
  )
  return done.length === 1
}

export async function lockIssuer(tx: Tx, name: string): Promise<Issuer | null> {
  const [row] = await tx.query<Row>(`select ${COLUMNS} from issuer i where i.name = $1 for update`, [name])
  return row === undefined ? null : issuerOf(row)
}

export async function deleteIssuer(tx: Tx, id: string): Promise<void> {
  await tx.query('delete from issuer where id = $1', [id])
}

export type ListedIssuer = Issuer & {
  readonly rules: number
  readonly weak: number
  readonly created_at: Date
  readonly created_by: string
}

/** With how many rules each has, and how many of them go by a prefix. */
export async function listIssuers(sql: Sql, after: string, limit: number): Promise<ListedIssuer[]> {
  const found = await sql.query<Row & Pick<ListedIssuer, 'rules' | 'weak' | 'created_at' | 'created_by'>>(
    `select ${COLUMNS}, i.created_at, i.created_by, count(r.id)::int as rules,
            (count(r.id) filter (where r.prefixes <> '{}'))::int as weak
       from issuer i left join issuer_rule r on r.issuer_id = i.id where i.name > $1 group by i.id order by i.name limit $2`,
    [after, limit],
  )
  return found.map((row) => {
    const { rules, weak, created_at, created_by } = row
    return { ...issuerOf(row), rules, weak, created_at, created_by }
  })
}

export async function issuerNamed(sql: Sql, name: string): Promise<Issuer | null> {
  const [row] = await sql.query<Row>(`select ${COLUMNS} from issuer i where i.name = $1`, [name])
  return row === undefined ? null : issuerOf(row)
}

export type ListedRule = Rule & {
  readonly issuer: string
  readonly identityName: string | null
  readonly actsForName: string | null
  readonly created_at: Date
  readonly created_by: string
}

/** Of one issuer or of all; `weak`: those that go by a prefix only. */
export async function listRules(
  sql: Sql,
  {
    issuer,
    weak,
    after,
    limit,
  }: { readonly issuer: string | null; readonly weak: boolean; readonly after: string | null; readonly limit: number },
): Promise<ListedRule[]> {
  return sql.query(
    `select ${RULE}, i.name as issuer, n.name as "identityName", a.name as "actsForName", r.created_at, r.created_by
       from issuer_rule r join issuer i on i.id = r.issuer_id
       left join identity n on n.id = r.identity_id left join identity a on a.id = r.acts_for_id
      where ($1::uuid is null or r.issuer_id = $1) and (not $2 or r.prefixes <> '{}') and ($3::uuid is null or r.id > $3)
      order by r.id limit $4`,
    [issuer, weak, after, limit],
  )
}

export async function insertRule(tx: Tx, issuerId: string, rule: Rule, at: Date, by: string): Promise<void> {
  await tx.query(
    `insert into issuer_rule (id, issuer_id, part, identity_id, claims, prefixes, scope, environments, acts_for_id, hardware, created_at,
       created_by, makers) values ($1, $2, $3, $4, $5::jsonb, $6::jsonb, $7, $8, $9, $10, $11, $12, $13)`,
    [
      ...[rule.id, issuerId, rule.part, rule.identity, JSON.stringify(rule.claims), JSON.stringify(rule.prefixes), rule.scope],
      ...[rule.environments, rule.actsFor, rule.hardware, at, by, rule.makers],
    ],
  )
}

export async function deleteRule(tx: Tx, issuerId: string, id: string): Promise<Rule | null> {
  const [row] = await tx.query<Rule>(`delete from issuer_rule r where r.issuer_id = $1 and r.id = $2 returning ${RULE}`, [issuerId, id])
  return row ?? null
}

/** True the first time only, over all processes; and again for who comes with the secret (by its hash) that came the first time. */
export async function seeOnce(sql: Sql, source: string, hashHex: string, until: Date, holderHex: string | null = null): Promise<boolean> {
  const fresh = await sql.query(
    `insert into proof_seen (source, hash, expires_at, holder) values ($1, decode($2, 'hex'), $3, decode($4, 'hex'))
     on conflict (source, hash) do update set holder = proof_seen.holder where proof_seen.holder = excluded.holder returning source`,
    [source, hashHex, until, holderHex],
  )
  return fresh.length === 1
}

/** A few at a time, at each new one: the table stays as large as what can still be replayed. */
export async function dropOldProofs(sql: Sql, before: Date): Promise<void> {
  await sql.query(
    `delete from proof_seen where ctid in (select ctid from proof_seen where expires_at < $1 order by expires_at limit 100
      for update skip locked)`,
    [before],
  )
}
