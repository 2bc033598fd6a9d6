import { useInfiniteQuery } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'
import type { Answer } from '../api/client.ts'
import { listOf } from '../api/lists.ts'
import { List } from '../ui/list.tsx'
import { Page } from '../ui/page.tsx'
import { Table } from '../ui/table.tsx'
import { Badge, Name, None, When } from '../ui/text.tsx'

type Row = Answer<'GET /v1/policies'>['items'][number]

const COLUMNS = [
  {
    name: 'Why',
    show: ({ id, words }: Row) => (
      <Link to="/policies/$policies" params={{ policies: id }}>
        <Name>{words}</Name>
      </Link>
    ),
  },
  { name: 'State', show: ({ state }: Row) => <StateOfSet state={state} /> },
  {
    name: 'Proposed by',
    show: ({ origin, proposedBy, proposedByName }: Row) => <By origin={origin} by={proposedBy} name={proposedByName} />,
  },
  { name: 'Proposed', show: ({ proposedAt }: Row) => <When at={proposedAt} /> },
  { name: 'In force since', show: ({ activatedAt }: Row) => (activatedAt === null ? <None>never</None> : <When at={activatedAt} />) },
]

export function PoliciesPage() {
  const list = useInfiniteQuery(listOf('GET /v1/policies'))
  return (
    <Page title="Policies">
      <p>
        Who may do what. What is proposed decides nothing until somebody else has approved exactly its texts. To propose, run{' '}
        <code>rekey policy propose</code>.
      </p>
      <List of={list} empty="There are none.">
        {(items) => <Table caption="Sets of policies, newest first" columns={COLUMNS} rows={items} keyOf={({ id }) => id} />}
      </List>
    </Page>
  )
}

const STATES = { proposed: 'requested', active: 'active', replaced: 'replaced' } as const
const WORDS = { proposed: 'proposed', active: 'in force', replaced: 'replaced' } as const

export function StateOfSet({ state }: { readonly state: Row['state'] }) {
  return <Badge state={STATES[state]}>{WORDS[state]}</Badge>
}

/** Who did it: by name where it was somebody on record. */
export function By({ origin, by, name }: { readonly origin: Row['origin']; readonly by: string; readonly name: string | null }) {
  if (origin === 'default') return <>came with Rekey</>
  return <Name>{name ?? (by.startsWith('token:') ? 'a token of nobody' : by)}</Name>
}
