import { useInfiniteQuery, useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { Link, useNavigate, useParams, useSearch } from '@tanstack/react-router'
import { useRef } from 'react'
import { type Answer, call, Problem } from '../api/client.ts'
import { listOf } from '../api/lists.ts'
import { ReasonForm } from '../forms/reason.tsx'
import { List } from '../ui/list.tsx'
import { Page, Section } from '../ui/page.tsx'
import { Failure } from '../ui/step-up.tsx'
import { Table } from '../ui/table.tsx'
import { Badge, Name, None } from '../ui/text.tsx'
import { Fault, Progress } from '../ui/told.tsx'
import { searchOf } from '../util/search.ts'
import { identityQuery } from './identity.tsx'
import { changeNamed, type StatusChange } from './identity-changes.ts'
import { MissingPage } from './wrong.tsx'

type Full = Answer<'GET /v1/identities/{identity}'>
type Planned = Answer<'GET /v1/identities/{identity}/closure-plan'>['items'][number]

/** The approval of an earlier try, whose reason counts now. It is named by its id: what somebody wrote stands in no address. */
export const changeSearch = searchOf({ approval: null })

export function ChangePage() {
  const { identity, change: name } = useParams({ from: '/inside/identities/$identity/$change' })
  const { data, error, isPending } = useQuery(identityQuery(identity))
  const { approval } = useSearch({ from: '/inside/identities/$identity/$change' })
  const asked = useQuery({
    queryKey: ['GET /v1/approvals/{id}', approval],
    queryFn: () => call('GET /v1/approvals/{id}', { params: { id: approval ?? '' } }),
    enabled: approval !== undefined,
  })
  const change = changeNamed(name)
  if (change === null) return <MissingPage />
  if (isPending || (approval !== undefined && asked.isPending)) return <Progress>Loading…</Progress>
  if (!data) {
    return (
      <Page title={change.name}>
        <Fault error={error} />
      </Page>
    )
  }
  return <Change of={data} change={change} initial={reasonOf(asked.data, data.id)} />
}

/** The reason that was approved for this very identity; empty for anything else. */
function reasonOf(approval: Answer<'GET /v1/approvals/{id}'> | undefined, identity: string): string {
  const what = approval?.what as { readonly identity?: unknown; readonly reason?: unknown } | null | undefined
  return what?.identity === identity && typeof what.reason === 'string' ? what.reason : ''
}

function Change({ of: it, change, initial }: { readonly of: Full; readonly change: StatusChange; readonly initial: string }) {
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
        <Badge state={it.status} /> {it.kind}
        {it.environment === 'none' ? null : (
          <>
            {' in '}
            <Name>{it.environment}</Name>
          </>
        )}
        , owned by <Name>{it.owner}</Name>
      </p>
      <Section title="What will happen" id="plan">
        <p>{change.means}</p>
        {change.change === 'resume' ? null : <Plan identity={it.id} />}
      </Section>
      {change.from.includes(it.status) ? (
        <ReasonForm
          submit={change.name}
          initial={initial}
          grave={change.grave}
          typed={change.grave ? it.name : null}
          busy={act.isPending}
          onSubmit={(reason) => act.mutate(reason)}
        >
          <Failure error={act.error} again={() => act.variables && act.mutate(act.variables)} then={`${change.name} ${it.name}`} />
        </ReasonForm>
      ) : (
        <p className="note">It is {it.status}: there is nothing to do.</p>
      )}
    </Page>
  )
}

const WAYS: Readonly<Record<Planned['way'], string>> = {
  suspend: 'stopped, then destroyed and proven dead',
  rotate: 'rotated, because others use it',
  hand_over: 'handed to a named human',
}

const COLUMNS = [
  { name: 'Credential', show: ({ credential }: Planned) => <Name>{credential}</Name> },
  { name: 'System', show: ({ system }: Planned) => <Name>{system}</Name> },
  {
    name: 'Is',
    show: ({ way, begins }: Planned) => (
      <>
        {way === 'hand_over' ? <Badge state="blocked">{WAYS[way]}</Badge> : WAYS[way]}
        {begins === 'offboarding' ? ', when it is offboarded; a suspension leaves it' : null}
      </>
    ),
  },
  { name: 'Because', show: ({ why }: Planned) => <Name>{why}</Name> },
  { name: 'Consumers', show: ({ consumers }: Planned) => (consumers.length === 0 ? <None /> : <Name>{consumers.join(', ')}</Name>) },
  {
    name: 'On the system',
    show: ({ suspends, destroys }: Planned) => (
      <>
        {suspends === null ? <None>nothing</None> : <Name>{suspends}</Name>}
        {destroys === null ? null : (
          <>
            ; then <Name>{destroys}</Name>
          </>
        )}
      </>
    ),
  },
]

/** What the server would do, credential by credential. It is asked for, so that nobody has to guess; asking changes nothing. */
function Plan({ identity }: { readonly identity: string }) {
  const list = useInfiniteQuery(listOf('GET /v1/identities/{identity}/closure-plan', { params: { identity } }))
  if (list.error instanceof Problem && list.error.code === 'forbidden') {
    return <p className="note">You may do this, and may not see which credentials it ends. Ask somebody who may before you do.</p>
  }
  return (
    <List of={list} empty="It has no credential, token or session, and owns nothing.">
      {(items) => <Table caption="What becomes of each credential" columns={COLUMNS} rows={items} keyOf={(it) => it.credential} />}
    </List>
  )
}
