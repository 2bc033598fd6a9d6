import { useInfiniteQuery, useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { useRouteContext } from '@tanstack/react-router'
import { type Answer, call } from '../api/client.ts'
import { listOf } from '../api/lists.ts'
import { sessionQuery } from '../api/session.ts'
import { CommandLineForm } from '../forms/command-line.tsx'
import { PasskeyForm } from '../forms/passkey.tsx'
import { List } from '../ui/list.tsx'
import { Facts, Page, Section } from '../ui/page.tsx'
import { Failure } from '../ui/step-up.tsx'
import { Table } from '../ui/table.tsx'
import { Age, Badge, Name, None, When } from '../ui/text.tsx'

type Passkey = Answer<'GET /v1/passkeys'>['items'][number]
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
      <Section title="Passkeys" id="passkeys">
        <Passkeys identity={me.id} />
        <PasskeyForm />
      </Section>
      <Section title="Sessions" id="sessions">
        <Sessions identity={me.id} />
        <CommandLineForm />
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
      <Failure error={end.error} again={() => end.variables && end.mutate(end.variables)} />
      <List of={list} empty="No session is open.">
        {(items) => <Table caption="Your sessions" columns={columns} rows={items} keyOf={({ session }) => session} />}
      </List>
    </>
  )
}

function Passkeys({ identity }: { readonly identity: string }) {
  const queries = useQueryClient()
  const list = useInfiniteQuery(listOf('GET /v1/passkeys', { query: { identity } }))
  const remove = useMutation({
    mutationFn: (id: string) =>
      call('POST /v1/passkeys/{id}/remove', { params: { id }, body: { reason: 'removed by its owner' } }, crypto.randomUUID()),
    onSettled: () => queries.invalidateQueries(),
  })
  const columns = [
    { name: 'Name', show: ({ name }: Passkey) => <Name>{name}</Name> },
    { name: 'Proves', show: ({ deviceBound }: Passkey) => (deviceBound ? 'AAL3: bound to its device' : 'AAL2: may be synced') },
    { name: 'Enrolled', show: ({ createdAt }: Passkey) => <When at={createdAt} /> },
    { name: 'Last used', show: ({ lastUsedAt }: Passkey) => (lastUsedAt ? <Age at={lastUsedAt} /> : <None>never</None>) },
    {
      name: '',
      show: ({ passkey, name }: Passkey) => <Remove name={name} busy={remove.isPending} onRemove={() => remove.mutate(passkey)} />,
    },
  ]
  return (
    <>
      <Failure error={remove.error} again={() => remove.variables && remove.mutate(remove.variables)} />
      <List of={list} empty="You have no passkey here.">
        {(items) => <Table caption="Your passkeys" columns={columns} rows={items} keyOf={({ passkey }) => passkey} />}
      </List>
    </>
  )
}

/** Asks once more: what is removed proves nothing any more, and ends the sessions that began with it. */
function Remove({ name, busy, onRemove }: { readonly name: string; readonly busy: boolean; readonly onRemove: () => void }) {
  return (
    <details>
      <summary>
        Remove<span className="unseen"> {name}</span>
      </summary>
      <p>Sessions that began with it end.</p>
      <button type="button" className="grave" disabled={busy} onClick={onRemove}>
        Remove it
      </button>
    </details>
  )
}
