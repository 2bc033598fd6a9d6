import { useInfiniteQuery, useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { Link, useNavigate, useParams } from '@tanstack/react-router'
import { useRef } from 'react'
import { type Answer, call } from '../api/client.ts'
import { listOf } from '../api/lists.ts'
import { ReasonForm } from '../forms/reason.tsx'
import { List } from '../ui/list.tsx'
import { Page, Section } from '../ui/page.tsx'
import { Failure } from '../ui/step-up.tsx'
import { Table } from '../ui/table.tsx'
import { Badge, Name } from '../ui/text.tsx'
import { Fault, Progress } from '../ui/told.tsx'
import { identityQuery } from './identity.tsx'
import { changeNamed, type StatusChange } from './identity-changes.ts'
import { MissingPage } from './wrong.tsx'

type Full = Answer<'GET /v1/identities/{identity}'>
type Credential = Answer<'GET /v1/credentials'>['items'][number]

export function ChangePage() {
  const { identity, change: name } = useParams({ from: '/inside/identities/$identity/$change' })
  const { data, error, isPending } = useQuery(identityQuery(identity))
  const change = changeNamed(name)
  if (change === null) return <MissingPage />
  if (isPending) return <Progress>Loading…</Progress>
  if (!data) {
    return (
      <Page title={change.name}>
        <Fault error={error} />
      </Page>
    )
  }
  return <Change of={data} change={change} />
}

function Change({ of: it, change }: { readonly of: Full; readonly change: StatusChange }) {
  const queries = useQueryClient()
  const navigate = useNavigate()
  // One key for this visit: an answer that was lost is asked for again, and nothing is done twice.
  const key = useRef(crypto.randomUUID())
  const act = useMutation({
    mutationFn: (reason: string) =>
      call(`POST /v1/identities/{identity}/${change.change}`, { params: { identity: it.id }, body: { reason } }, key.current),
    onSuccess: async () => {
      await queries.invalidateQueries()
      await navigate({ to: '/identities/$identity', params: { identity: it.id } })
    },
  })
  const above = (
    <Link to="/identities/$identity" params={{ identity: it.id }}>
      Back to <Name>{it.name}</Name>
    </Link>
  )
  return (
    <Page
      above={above}
      title={
        <>
          {change.name} <Name>{it.name}</Name>
        </>
      }
    >
      <p className="lead">
        <Badge state={it.status} /> {it.kind} in <Name>{it.environment}</Name>, owned by <Name>{it.owner}</Name>
      </p>
      <Section title="What will happen" id="plan">
        <p>{change.means}</p>
        <Affected identity={it.id} />
      </Section>
      {change.from.includes(it.status) ? (
        <ReasonForm
          submit={change.name}
          grave={change.grave}
          typed={change.grave ? it.name : null}
          busy={act.isPending}
          onSubmit={(reason) => act.mutate(reason)}
        >
          <Failure error={act.error} again={() => act.variables && act.mutate(act.variables)} />
        </ReasonForm>
      ) : (
        <p className="note">It is {it.status}: there is nothing to do.</p>
      )}
    </Page>
  )
}

const COLUMNS = [
  { name: 'Credential', show: ({ name }: Credential) => <Name>{name}</Name> },
  { name: 'System', show: ({ system }: Credential) => <Name>{system}</Name> },
  { name: 'Usable versions', show: ({ alive }: Credential) => alive },
]

function Affected({ identity }: { readonly identity: string }) {
  const list = useInfiniteQuery(listOf('GET /v1/credentials', { query: { identity } }))
  return (
    <List of={list} empty="It has no credential: nothing else changes.">
      {(items) => <Table caption="Its credentials" columns={COLUMNS} rows={items} keyOf={({ id }) => id} />}
    </List>
  )
}
