import { useInfiniteQuery, useQuery, useQueryClient } from '@tanstack/react-query'
import { useEffect, useRef } from 'react'
import { type Answer, call } from '../api/client.ts'
import { listOf } from '../api/lists.ts'
import { wordsOf } from '../util/words.ts'
import { List } from './list.tsx'
import { Section } from './page.tsx'
import { Table } from './table.tsx'
import { Age, Badge, Name, None } from './text.tsx'
import { Progress } from './told.tsx'

type Closure = Answer<'GET /v1/closures'>['items'][number]
type Item = Answer<'GET /v1/closures/{id}/credentials'>['items'][number]

/** While it is under way it is looked at so often, ms. */
const LOOK_MS = 2_000
const MOVES_WITH_IT = ['GET /v1/identities/{identity}/events', 'GET /v1/credentials', 'GET /v1/closures/{id}/credentials']

/**
 * What became, or is becoming, of an identity's credentials since it was suspended or left. Nothing where there was no such thing.
 * `awaited`: there will be one, a moment after the change of its status.
 */
export function LatestClosure({ identity, awaited }: { readonly identity: string; readonly awaited: boolean }) {
  const { data } = useQuery({
    queryKey: ['GET /v1/closures', { identity }],
    queryFn: () => call('GET /v1/closures', { query: { identity, limit: 1 } }),
    refetchInterval: ({ state }) => (isUnderWay(state.data?.items, awaited) ? LOOK_MS : false),
  })
  const closure = data?.items[0]
  const queries = useQueryClient()
  const stands = closure === undefined ? '' : JSON.stringify([closure.state, closure.counts])
  const stood = useRef(stands)
  useEffect(() => {
    if (stood.current === stands) return
    stood.current = stands
    // It went on: so did the credentials, and what is told of them.
    for (const name of MOVES_WITH_IT) void queries.invalidateQueries({ queryKey: [name] })
  }, [queries, stands])
  return closure === undefined ? null : <Shown of={closure} />
}

function isUnderWay(closures: readonly Closure[] | undefined, awaited: boolean): boolean {
  const [latest] = closures ?? []
  return latest === undefined ? awaited : latest.endedAt === null
}

function Shown({ of: { closure, state, reason, counts, endedAt, destroyAt } }: { readonly of: Closure }) {
  const list = useInfiniteQuery({
    ...listOf('GET /v1/closures/{id}/credentials', { params: { id: closure } }),
    refetchInterval: endedAt === null ? LOOK_MS : false,
  })
  const summary = Object.entries(counts)
    .map(([each, count]) => `${count} ${wordsOf(each)}`)
    .join(', ')
  return (
    <Section title="What becomes of its credentials" id="closure">
      <Progress>
        <Badge state={state} /> {summary || 'It had no credential.'}
      </Progress>
      <p className="muted">
        Because: <Name>{reason}</Name>
        {destroyAt === null || endedAt !== null ? null : (
          <>
            . What is suspended is destroyed <Age at={destroyAt} />.
          </>
        )}
      </p>
      <List of={list} empty="It had no credential.">
        {(items) => <Table caption="The credentials and how far each is" columns={COLUMNS} rows={items} keyOf={(it) => it.credential} />}
      </List>
    </Section>
  )
}

const COLUMNS = [
  { name: 'Credential', show: ({ credential }: Item) => <Name>{credential}</Name> },
  { name: 'System', show: ({ system }: Item) => <Name>{system}</Name> },
  { name: 'State', show: ({ state }: Item) => <Badge state={state} /> },
  {
    name: 'What it waits for',
    show: ({ human, reason, hint, nextTryAt }: Item) =>
      human === null && reason === null ? (
        <None>nothing</None>
      ) : (
        <>
          {human === null ? null : (
            <>
              <Name>{human.name}</Name>, since <Age at={human.since} />.{' '}
            </>
          )}
          {reason === null ? null : <Name>{`${reason} ${hint ?? ''}`.trim()}</Name>}
          {nextTryAt === null ? null : (
            <>
              {' '}
              Tried again <Age at={nextTryAt} />.
            </>
          )}
        </>
      ),
  },
  {
    name: 'Old value proven dead',
    show: ({ provedDeadAt, endedAt }: Item) =>
      provedDeadAt === null ? <None>{endedAt === null ? 'not yet' : 'no'}</None> : <Age at={provedDeadAt} />,
  },
]
