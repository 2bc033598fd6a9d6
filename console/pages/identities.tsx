import { useInfiniteQuery } from '@tanstack/react-query'
import { Link, useNavigate, useSearch } from '@tanstack/react-router'
import type { FormEvent } from 'react'
import type { Answer } from '../api/client.ts'
import { listOf } from '../api/lists.ts'
import { Choice } from '../ui/choice.tsx'
import { List } from '../ui/list.tsx'
import { Page } from '../ui/page.tsx'
import { Table } from '../ui/table.tsx'
import { Badge, Name } from '../ui/text.tsx'
import { fieldsOf, type Search, searchOf } from '../util/search.ts'
import { wordsOf } from '../util/words.ts'

type Identity = Answer<'GET /v1/identities'>['items'][number]

const KINDS = ['human', 'workload', 'machine', 'agent'] as const
const STATUSES = ['active', 'suspended', 'offboarded'] as const
const FIELDS = { prefix: null, kind: KINDS, status: STATUSES, owner: null, team: null, environment: null, label: null } as const

/** The filters, out of the address. */
export const identitiesSearch = searchOf(FIELDS)

const COLUMNS = [
  {
    name: 'Name',
    show: ({ id, name }: Identity) => (
      <Link to="/identities/$identity" params={{ identity: id }}>
        <Name>{name}</Name>
      </Link>
    ),
  },
  { name: 'Kind', show: ({ kind }: Identity) => kind },
  { name: 'Status', show: ({ status }: Identity) => <Badge state={status} /> },
  { name: 'Owner', show: (it: Identity) => <Owner of={it} /> },
  { name: 'Environment', show: ({ environment }: Identity) => <Name>{environment}</Name> },
]

/** Who answers for an identity; a warning where nobody can. */
export function Owner({ of: { owner, ownerState } }: { readonly of: Pick<Identity, 'owner' | 'ownerState'> }) {
  const fine = ownerState === 'person' || ownerState === 'team'
  return (
    <>
      <Name>{owner}</Name> {fine ? null : <Badge state="suspended">{wordsOf(ownerState)}</Badge>}
    </>
  )
}

export function IdentitiesPage() {
  const search = useSearch({ from: '/inside/identities' })
  const list = useInfiniteQuery(listOf('GET /v1/identities', { query: search }))
  return (
    <Page title="Identities">
      <Filters search={search} />
      <List of={list} empty="No identity matches.">
        {(items) => <Table caption="Identities by name" columns={COLUMNS} rows={items} keyOf={({ id }) => id} />}
      </List>
    </Page>
  )
}

function Filters({ search }: { readonly search: Search<typeof FIELDS> }) {
  const navigate = useNavigate()
  const filter = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault()
    void navigate({ to: '/identities', search: identitiesSearch(fieldsOf(event.currentTarget)) })
  }
  const more = [search.owner, search.team, search.environment, search.label].some((one) => one !== undefined)
  return (
    // Filled anew when the address changes by itself, as on the way back.
    <form className="filters" aria-label="Filter" onSubmit={filter} key={JSON.stringify(search)}>
      <label>
        Name begins with
        <input name="prefix" type="search" autoComplete="off" defaultValue={search.prefix} />
      </label>
      <Choice name="kind" label="Kind" of={KINDS} chosen={search.kind} />
      <Choice name="status" label="Status" of={STATUSES} chosen={search.status} />
      <button type="submit">Filter</button>
      <Link to="/identities">Clear</Link>
      <details open={more}>
        <summary>More filters</summary>
        <div>
          <label>
            Owner
            <input name="owner" autoComplete="off" defaultValue={search.owner} />
          </label>
          <label>
            Team
            <input name="team" autoComplete="off" defaultValue={search.team} />
          </label>
          <label>
            Environment
            <input name="environment" autoComplete="off" defaultValue={search.environment} />
          </label>
          <label>
            Label
            <input name="label" autoComplete="off" placeholder="key=value" defaultValue={search.label} />
          </label>
        </div>
      </details>
    </form>
  )
}
