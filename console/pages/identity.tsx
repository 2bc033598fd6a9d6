import { useInfiniteQuery, useQuery } from '@tanstack/react-query'
import { Link, useParams } from '@tanstack/react-router'
import type { ReactNode } from 'react'
import { type Answer, call, Problem } from '../api/client.ts'
import { listOf } from '../api/lists.ts'
import { LatestClosure } from '../ui/closure.tsx'
import { List } from '../ui/list.tsx'
import { Facts, Page, Section } from '../ui/page.tsx'
import { Table } from '../ui/table.tsx'
import { Age, Badge, Name, None, When } from '../ui/text.tsx'
import { Timeline } from '../ui/timeline.tsx'
import { Fault, Progress } from '../ui/told.tsx'
import { wordsOf } from '../util/words.ts'
import { Owner } from './identities.tsx'
import { changesFrom } from './identity-changes.ts'

type Full = Answer<'GET /v1/identities/{identity}'>
type Credential = Answer<'GET /v1/credentials'>['items'][number]

/** One identity, for `useQuery`. */
export const identityQuery = (identity: string) => ({
  queryKey: ['GET /v1/identities/{identity}', identity] as const,
  queryFn: () => call('GET /v1/identities/{identity}', { params: { identity } }),
})

export function IdentityPage() {
  const { identity } = useParams({ from: '/inside/identities/$identity' })
  const { data, error, isPending } = useQuery(identityQuery(identity))
  if (isPending) return <Progress>Loading…</Progress>
  if (!data) {
    return (
      <Page title="Identity">
        <Fault error={error} />
      </Page>
    )
  }
  return <Identity of={data} />
}

function Identity({ of: it }: { readonly of: Full }) {
  return (
    <Page title={<Name>{it.name}</Name>} above={<Link to="/identities">All identities</Link>}>
      <p className="lead">
        <Badge state={it.status} /> <span>{it.kind}</span>
        {it.environment === 'none' ? null : (
          <>
            {' in '}
            <Name>{it.environment}</Name>
          </>
        )}
      </p>
      <Changes of={it} />
      <LatestClosure identity={it.id} awaited={it.status !== 'active'} />
      <Section title="Record" id="record">
        <Facts of={factsOf(it)} />
      </Section>
      <Entitlements of={it} />
      <Credentials of={it} />
      <section aria-labelledby="timelines">
        <h2 id="timelines">What happened</h2>
        <div className="sides">
          <Timeline identity={it.id} log="identity" title="To the identity" />
          <Timeline identity={it.id} log="credential" title="To its credentials" />
        </div>
      </section>
    </Page>
  )
}

function Changes({ of: it }: { readonly of: Full }) {
  const changes = changesFrom(it.status)
  if (changes.length === 0) return null
  return (
    <p className="actions">
      {changes.map(({ change, name, grave }) => (
        <Link
          key={change}
          to="/identities/$identity/$change"
          params={{ identity: it.id, change }}
          className={grave ? 'button grave' : 'button'}
        >
          {name}…
        </Link>
      ))}
    </p>
  )
}

function factsOf(it: Full): (readonly [string, ReactNode])[] {
  const labels = Object.entries(it.labels)
  return [
    ['Owner', <Owner key="owner" of={it} />],
    ['Purpose', <Name key="purpose">{it.purpose}</Name>],
    ...(it.managerName === null ? [] : [['Manager', <Name key="manager">{it.managerName}</Name>] as const]),
    [
      'Recovery class',
      <>
        {wordsOf(it.recoveryClass)}
        {it.recoveryClassReason ? (
          <>
            , since <Name>{it.recoveryClassReason}</Name>
          </>
        ) : null}
      </>,
    ],
    ['Tenancy', <Name key="tenancy">{it.tenancy}</Name>],
    ['Source', <Name key="source">{it.source}</Name>],
    ['Known elsewhere as', <Names key="ids" of={it.externalIds.map(({ source, id }) => `${source}: ${id}`)} />],
    ['Teams', <Names key="teams" of={it.teams.map(({ name }) => name)} />],
    ['Labels', <Names key="labels" of={labels.map(([key, value]) => `${key}=${value}`)} />],
    ...(it.ial === null
      ? []
      : [
          [
            'Identity assurance',
            <>
              IAL{it.ial.level}, says <Name>{it.ial.source}</Name>, <When at={it.ial.at} />
            </>,
          ] as const,
        ]),
    ['On record since', <When key="created" at={it.createdAt} />],
    ['Changed', <Age key="changed" at={it.changedAt} />],
    ...(it.leftAt === null ? [] : [['Left', <When key="left" at={it.leftAt} />] as const]),
    ['Id', <code key="id">{it.id}</code>],
  ]
}

function Names({ of }: { readonly of: readonly string[] }) {
  if (of.length === 0) return <None />
  return (
    <ul className="inline">
      {of.map((one) => (
        <li key={one}>
          <Name>{one}</Name>
        </li>
      ))}
    </ul>
  )
}

const ENTITLEMENTS = (
  [
    ['System', 'system'],
    ['Account', 'account'],
    ['Role', 'role'],
  ] as const
).map(([name, field]) => ({
  name,
  show: (it: Full['entitlements'][number]) => <Name>{it[field]}</Name>,
}))

function Entitlements({ of: { entitlements } }: { readonly of: Full }) {
  if (entitlements.length === 0) return null
  return (
    <Section title="Entitlements" id="entitlements">
      <Table caption="What it may be on which system" columns={ENTITLEMENTS} rows={entitlements} keyOf={(it) => JSON.stringify(it)} />
    </Section>
  )
}

const CREDENTIALS = [
  { name: 'Name', show: ({ name }: Credential) => <Name>{name}</Name> },
  { name: 'System', show: ({ system }: Credential) => <Name>{system}</Name> },
  { name: 'Accounts', show: ({ accounts }: Credential) => <Names of={accounts} /> },
  { name: 'Version', show: ({ currentVersion }: Credential) => currentVersion ?? <None /> },
  { name: 'Usable versions', show: ({ alive }: Credential) => alive },
  {
    name: 'Rotation',
    show: ({ rotation, nextRotationAt }: Credential) =>
      rotation ? <Badge state={rotation.state} /> : nextRotationAt ? <Age at={nextRotationAt} /> : <None>not scheduled</None>,
  },
]

function Credentials({ of: { id } }: { readonly of: Full }) {
  const list = useInfiniteQuery(listOf('GET /v1/credentials', { query: { identity: id } }))
  const forbidden = list.error instanceof Problem && list.error.code === 'forbidden'
  return (
    <Section title="Credentials" id="credentials">
      {forbidden ? (
        <p className="muted">You may read the record, and not the credentials.</p>
      ) : (
        <List of={list} empty="It has no credential.">
          {(items) => <Table caption="Its credentials by name" columns={CREDENTIALS} rows={items} keyOf={(it) => it.id} />}
        </List>
      )}
    </Section>
  )
}
