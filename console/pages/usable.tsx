import { useInfiniteQuery, useMutation, useQueryClient } from '@tanstack/react-query'
import { Link, useNavigate, useSearch } from '@tanstack/react-router'
import type { FormEvent } from 'react'
import { type Answer, call } from '../api/client.ts'
import { listOf } from '../api/lists.ts'
import { Choice } from '../ui/choice.tsx'
import { List } from '../ui/list.tsx'
import { Page } from '../ui/page.tsx'
import { Failure } from '../ui/step-up.tsx'
import { Table } from '../ui/table.tsx'
import { Age, Badge, Name, None } from '../ui/text.tsx'
import { Progress } from '../ui/told.tsx'
import { fieldsOf, searchOf } from '../util/search.ts'

type Usable = Answer<'GET /v1/usable'>['items'][number]

const STATES = ['staged', 'current', 'previous', 'irrevocable', 'unprovable'] as const
const FIELDS = { identity: null, system: null, state: STATES, olderThanDays: null } as const

/** The filters, out of the address. */
export const usableSearch = searchOf(FIELDS)

const COLUMNS = [
  {
    name: 'Credential',
    show: ({ credential, number }: Usable) => (
      <>
        <Name>{credential}</Name> <span className="muted">{number === null ? 'token' : `version ${number}`}</span>
      </>
    ),
  },
  {
    name: 'Identity',
    show: ({ identity, identityStatus, root }: Usable) =>
      identity === null ? (
        <None>{root ? 'root of its system' : 'none'}</None>
      ) : (
        <>
          <Link to="/identities/$identity" params={{ identity }}>
            <Name>{identity}</Name>
          </Link>{' '}
          {identityStatus === null || identityStatus === 'active' ? null : <Badge state={identityStatus} />}
        </>
      ),
  },
  {
    name: 'System',
    show: ({ system, account }: Usable) => (
      <>
        <Name>{system}</Name> <span className="muted">as </span>
        <Name>{account}</Name>
      </>
    ),
  },
  { name: 'State', show: ({ state }: Usable) => <Badge state={state} /> },
  { name: 'Since', show: ({ since }: Usable) => <Age at={since} /> },
  {
    name: 'Last probe',
    show: ({ lastProbe, unknownSince, lastUsedAt }: Usable) => (
      <>
        {unknownSince === null ? null : (
          <>
            <Badge state="unknown" /> <Age at={unknownSince} />{' '}
          </>
        )}
        {lastUsedAt !== null ? (
          <>
            used <Age at={lastUsedAt} />
          </>
        ) : lastProbe === null ? (
          <None>never</None>
        ) : (
          <>
            <Badge state={lastProbe.outcome} /> <Age at={lastProbe.at} />
          </>
        )}
      </>
    ),
  },
]

export function UsablePage() {
  const { olderThanDays, ...search } = useSearch({ from: '/inside/usable' })
  const days = Number(olderThanDays)
  const query = { ...search, ...(olderThanDays !== undefined && Number.isInteger(days) && days >= 0 ? { olderThanDays: days } : {}) }
  const list = useInfiniteQuery(listOf('GET /v1/usable', { query }))
  return (
    <Page title="Usable now">
      <p>Every version of every credential, and every token of Rekey, that could authenticate right now, oldest first.</p>
      <Filters />
      <List of={list} empty="None matches.">
        {(items) => (
          <>
            <Probe versions={items.filter(({ kind }) => kind === 'version').map(({ version }) => version)} />
            <Table caption="Usable versions" columns={COLUMNS} rows={items} keyOf={({ version }) => version} />
          </>
        )}
      </List>
    </Page>
  )
}

function Filters() {
  const search = useSearch({ from: '/inside/usable' })
  const navigate = useNavigate()
  const filter = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault()
    void navigate({ to: '/usable', search: usableSearch(fieldsOf(event.currentTarget)) })
  }
  return (
    <form className="filters" aria-label="Filter" onSubmit={filter} key={JSON.stringify(search)}>
      <label>
        Identity
        <input name="identity" autoComplete="off" defaultValue={search.identity} />
      </label>
      <label>
        System
        <input name="system" autoComplete="off" defaultValue={search.system} />
      </label>
      <Choice name="state" label="State" of={STATES} chosen={search.state} />
      <label>
        Older than days
        <input name="olderThanDays" type="number" min={0} max={36500} defaultValue={search.olderThanDays} />
      </label>
      <button type="submit">Filter</button>
      <Link to="/usable">Clear</Link>
    </form>
  )
}

/** The server takes so many at once. */
const AT_ONCE = 100

/** Tries what is shown once more, as a consumer would. */
function Probe({ versions }: { readonly versions: readonly string[] }) {
  const queries = useQueryClient()
  const asked = versions.slice(0, AT_ONCE)
  const probe = useMutation({
    mutationFn: () => call('POST /v1/usable/probe', { body: { versions: asked } }, crypto.randomUUID()),
    onSettled: () => queries.invalidateQueries({ queryKey: ['GET /v1/usable'] }),
  })
  return (
    <>
      <p className="actions">
        <button type="button" disabled={probe.isPending} onClick={() => probe.mutate()}>
          {probe.isPending ? 'Probing…' : asked.length < versions.length ? `Probe the first ${asked.length} now` : 'Probe these now'}
        </button>
      </p>
      <Failure error={probe.error} again={() => probe.mutate()} />
      {probe.isSuccess ? <Progress>{`${probe.data.tried} tried.`}</Progress> : null}
    </>
  )
}
