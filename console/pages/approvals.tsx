import { useInfiniteQuery } from '@tanstack/react-query'
import { Link, useRouteContext, useSearch } from '@tanstack/react-router'
import type { Answer } from '../api/client.ts'
import { listOf } from '../api/lists.ts'
import { List } from '../ui/list.tsx'
import { Page } from '../ui/page.tsx'
import { Table } from '../ui/table.tsx'
import { Age, Badge, Name, When } from '../ui/text.tsx'
import { searchOf } from '../util/search.ts'

type Approval = Answer<'GET /v1/approvals'>['items'][number]

/** Whose requests are shown, out of the address. */
export const approvalsSearch = searchOf({ of: ['decide', 'requested', 'all'] })

const VIEWS = [
  { of: 'decide', name: 'Waiting for me' },
  { of: 'requested', name: 'Asked by me' },
  { of: 'all', name: 'All I may read' },
] as const

const COLUMNS = [
  {
    name: 'What',
    show: ({ id, action, subject }: Approval) => (
      <Link to="/approvals/$id" params={{ id }}>
        {action} · <Name>{subject}</Name>
      </Link>
    ),
  },
  { name: 'State', show: ({ state, waitsForMe }: Approval) => <Badge state={state}>{waitsForMe ? 'waits for you' : undefined}</Badge> },
  { name: 'Asked by', show: ({ requestedBy }: Approval) => <Name>{requestedBy.name}</Name> },
  { name: 'Asked', show: ({ requestedAt }: Approval) => <When at={requestedAt} /> },
  { name: 'Ends', show: ({ expiresAt, endedAt }: Approval) => <Age at={endedAt ?? expiresAt} /> },
]

export function ApprovalsPage() {
  const { of = 'decide' } = useSearch({ from: '/inside/approvals' })
  const { me } = useRouteContext({ from: '/inside/approvals' })
  const list = useInfiniteQuery(listOf('GET /v1/approvals', { query: { of } }))
  return (
    <Page title="Approvals">
      <nav aria-label="Which approvals" className="views">
        {VIEWS.map((view) => (
          <Link key={view.of} to="/approvals" search={{ of: view.of }} aria-current={view.of === of ? 'page' : undefined}>
            {view.name}
          </Link>
        ))}
      </nav>
      {me.may.length > 0 ? null : (
        <p className="note">You have no role yet, so there is nothing else to see. Ask who runs Rekey for one, by your name, {me.name}.</p>
      )}
      <List of={list} empty={of === 'decide' ? 'Nothing waits for you.' : 'There are none.'}>
        {(items) => <Table caption="Requests for approval, newest first" columns={COLUMNS} rows={items} keyOf={({ id }) => id} />}
      </List>
    </Page>
  )
}
