import { useInfiniteQuery, useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { useRouteContext } from '@tanstack/react-router'
import { type Answer, call } from '../api/client.ts'
import { listOf } from '../api/lists.ts'
import { sessionQuery } from '../api/session.ts'
import { List } from '../ui/list.tsx'
import { Facts, Page, Section } from '../ui/page.tsx'
import { Table } from '../ui/table.tsx'
import { Age, Badge, Name, When } from '../ui/text.tsx'
import { Fault } from '../ui/told.tsx'

type Session = Answer<'GET /v1/sessions'>['items'][number]

export function MePage() {
  const { me: entered } = useRouteContext({ from: '/inside/me' })
  const { data: me } = useQuery({ ...sessionQuery, initialData: entered })
  if (!me) return null
  return (
    <Page title={<Name>{me.name}</Name>}>
      <Facts
        of={[
          ['This login', `AAL${me.aal}`],
          ['Logged in', me.authenticatedAt ? <When key="at" at={me.authenticatedAt} /> : 'unknown'],
          ['Roles', <Name key="roles">{me.roles.join(', ') || 'none of its own'}</Name>],
        ]}
      />
      <Section title="Sessions" id="sessions">
        <Sessions identity={me.id} />
      </Section>
    </Page>
  )
}

function Sessions({ identity }: { readonly identity: string }) {
  const queries = useQueryClient()
  const list = useInfiniteQuery(listOf('GET /v1/sessions', { query: { identity } }))
  const end = useMutation({
    mutationFn: (id: string) => call('POST /v1/sessions/{id}/end', { params: { id } }, crypto.randomUUID()),
    onSettled: () => queries.invalidateQueries(),
  })
  const columns = [
    { name: 'Browser', show: ({ browser }: Session) => <Name>{browser || 'unknown'}</Name> },
    { name: 'By', show: ({ method }: Session) => (method === 'oidc' ? 'a provider' : 'a passkey') },
    { name: 'Level', show: ({ aal }: Session) => `AAL${aal}` },
    { name: 'Began', show: ({ createdAt }: Session) => <When at={createdAt} /> },
    { name: 'Last used', show: ({ seenAt }: Session) => <Age at={seenAt} /> },
    { name: 'Ends', show: ({ endsAt }: Session) => <Age at={endsAt} /> },
    {
      name: '',
      show: ({ session, current }: Session) =>
        current ? (
          <Badge state="current">this one</Badge>
        ) : (
          <button type="button" disabled={end.isPending} onClick={() => end.mutate(session)}>
            End it
          </button>
        ),
    },
  ]
  return (
    <>
      <Fault error={end.error} />
      <List of={list} empty="No session is open.">
        {(items) => <Table caption="Your sessions" columns={columns} rows={items} keyOf={({ session }) => session} />}
      </List>
    </>
  )
}
