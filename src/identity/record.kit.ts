/** For tests and the benchmark of the record only: the record of a company of some size, and what is asked of it. */

import { newId } from '../kernel/index.ts'
import type { Store } from '../store/index.ts'
import type { IdentityFilter } from './record.list.ts'

const TEAMS = 500

const KINDS = ['workload', 'workload', 'workload', 'machine', 'agent', 'human', 'human'] as const
const ENVIRONMENTS = ['prod', 'prod', 'staging', 'test', 'dev']

/** The record as a company of some size has it: skewed kinds, few suspended, teams nested three deep, three labels each, a big owner. */
export async function fill(store: Store, count: number): Promise<void> {
  const teams = Array.from({ length: TEAMS }, (_, n) => ({
    id: newId(),
    name: `team-${n}`,
    parent: n === 0 ? null : Math.floor((n - 1) / 8),
  }))
  await store.query(
    `insert into team (id, name, source) select t.id, t.name, 'scim:bench' from jsonb_to_recordset($1::jsonb) as t(id uuid, name text)`,
    [JSON.stringify(teams)],
  )
  const nested = teams.flatMap(({ id, parent }) => (parent === null ? [] : [{ parent: teams[parent]?.id, child: id }]))
  await store.query(
    `insert into team_nesting (parent_id, child_id)
     select n.parent, n.child from jsonb_to_recordset($1::jsonb) as n(parent uuid, child uuid)`,
    [JSON.stringify(nested)],
  )
  for (let at = 0; at < count; at += 5_000) {
    const rows = Array.from({ length: Math.min(5_000, count - at) }, (_, i) => identity(at + i, teams))
    await insert(store, JSON.stringify(rows))
  }
}

function identity(n: number, teams: readonly { readonly id: string }[]) {
  const kind = KINDS[n % KINDS.length] ?? 'workload'
  // Names spread over the alphabet, in no order of making.
  const name = `${((n * 2_654_435_761) % 2 ** 32).toString(36)}-${kind}`
  const team = teams[(n * 7) % teams.length]?.id
  return {
    id: newId(),
    name,
    kind,
    environment: ENVIRONMENTS[n % ENVIRONMENTS.length],
    status: n % 500 === 0 ? 'offboarded' : n % 97 === 0 ? 'suspended' : 'active',
    source: kind === 'human' ? 'scim:bench' : 'declared',
    tenancy: n % 53 === 0 ? 'acme' : 'default',
    team,
    owner: n % 3 === 0 ? teams[1]?.id : team,
    site: `site-${n % 40}`,
    tier: n === 77_777 ? 'single' : n % 1000 === 0 ? 'critical' : 'plain',
    // Wide, and held by nobody whom the teams hold: what no page can be filled with.
    runtime: kind === 'human' ? 'none' : 'k8s',
  }
}

async function insert(store: Store, json: string): Promise<void> {
  const as =
    'jsonb_to_recordset($1::jsonb) as i(id uuid, name text, kind text, environment text, status text, source text, tenancy text, ' +
    'team uuid, owner uuid, site text, tier text, runtime text)'
  await store.inTx(async (tx) => {
    await tx.query(
      `insert into identity (id, name, name_key, kind, owner, purpose, environment, status, source, tenancy, owner_team_id)
       select id, name, name, kind, 'team', 'bench', environment, status, source, tenancy, owner from ${as}`,
      [json],
    )
    await tx.query(
      `insert into identity_label (identity_id, identity_name, key, value)
       select id, name, l.key, l.value
         from ${as} cross join lateral (values ('site', site), ('tier', tier), ('runtime', runtime)) as l(key, value)`,
      [json],
    )
    await tx.query(`insert into team_member (team_id, identity_id, identity_name) select team, id, name from ${as} where kind = 'human'`, [
      json,
    ])
  })
}

const label = (key: string, value: string): IdentityFilter => ({ label: { key, value } })

/** Every filter that is documented, with values that very many hold, few, one, and none. */
export const FILTERS: Readonly<Record<string, IdentityFilter>> = {
  'kind=workload (3 of 7)': { kind: 'workload' },
  'kind=human (2 of 7)': { kind: 'human' },
  'status=active (nearly all)': { status: 'active' },
  'status=suspended (1 in 97)': { status: 'suspended' },
  'owner=team-1 (1 in 3)': { owner: 'team-1' },
  'owner=team-77 (130)': { owner: 'team-77' },
  'team=team-0 (all 28,570 people, 500 nested)': { team: 'team-0' },
  'team=team-77 (57 people)': { team: 'team-77' },
  'environment=prod (2 in 5)': { environment: 'prod' },
  'environment=absent (none)': { environment: 'absent' },
  'tenancy=default (nearly all)': { tenancy: 'default' },
  'tenancy=acme (1 in 53)': { tenancy: 'acme' },
  'source=declared (5 of 7)': { source: 'declared' },
  'source=scim:bench (2 of 7)': { source: 'scim:bench' },
  'label tier=plain (nearly all)': label('tier', 'plain'),
  'label runtime=k8s (5 of 7)': label('runtime', 'k8s'),
  'label site=site-7 (1 in 40)': label('site', 'site-7'),
  'label tier=single (1)': label('tier', 'single'),
  'prefix=1 (a half)': { prefix: '1' },
  'prefix=1a (about 1,500)': { prefix: '1a' },
}

const keyOf = (filter: IdentityFilter) => Object.keys(filter).join()

/** Every two of them that can be given at once. */
export const PAIRS: Readonly<Record<string, IdentityFilter>> = Object.fromEntries(
  Object.entries(FILTERS).flatMap(([one, a], at) =>
    Object.entries(FILTERS).flatMap(([two, b], other) =>
      other > at && keyOf(a) !== keyOf(b) ? [[`${one}, ${two}`, { ...a, ...b }] as const] : [],
    ),
  ),
)
