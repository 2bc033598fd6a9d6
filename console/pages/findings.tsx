import { useInfiniteQuery } from '@tanstack/react-query'
import { Link, useNavigate, useSearch } from '@tanstack/react-router'
import type { FormEvent } from 'react'
import type { Answer } from '../api/client.ts'
import { listOf } from '../api/lists.ts'
import { Choice } from '../ui/choice.tsx'
import { List } from '../ui/list.tsx'
import { Page } from '../ui/page.tsx'
import { Age, Badge, Name } from '../ui/text.tsx'
import { fieldsOf, searchOf } from '../util/search.ts'
import { wordsOf } from '../util/words.ts'

type Finding = Answer<'GET /v1/findings'>['items'][number]

const SEVERITIES = ['high', 'medium', 'low'] as const
const KINDS = [
  'closure_waits',
  'exception_past',
  'review_overdue',
  'handover',
  'offboarding_waits',
  'way_lost',
  'made_by_leaver',
  'unreachable_approver',
  'empty_team',
  'likely_double',
  'orphan',
  'ownerless',
  'reused',
  'human_use',
  'irrevocable',
  'unprovable',
  'overdue',
  'long_lived',
  'token_of_nobody',
  'token_stopped',
  'token_beyond_maker',
  'road_of_leaver',
  'secret_of_leaver',
] as const satisfies readonly Finding['kind'][]
const FIELDS = { severity: SEVERITIES, kind: KINDS } as const

/** The filters, out of the address. */
export const findingsSearch = searchOf(FIELDS)

export function FindingsPage() {
  const search = useSearch({ from: '/inside/findings' })
  const navigate = useNavigate()
  const list = useInfiniteQuery(listOf('GET /v1/findings', { query: search }))
  const filter = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault()
    void navigate({ to: '/findings', search: findingsSearch(fieldsOf(event.currentTarget)) })
  }
  return (
    <Page title="Findings">
      <form className="filters" aria-label="Filter" onSubmit={filter} key={JSON.stringify(search)}>
        <Choice name="severity" label="Severity" of={SEVERITIES} chosen={search.severity} />
        <Choice name="kind" label="Kind" of={KINDS} chosen={search.kind} />
        <button type="submit">Filter</button>
        <Link to="/findings">Clear</Link>
      </form>
      <List of={list} empty="Nothing to do.">
        {(items) => (
          <ul className="cards">
            {items.map((finding) => (
              <Found key={finding.finding} of={finding} />
            ))}
          </ul>
        )}
      </List>
    </Page>
  )
}

/** What it is, what to do, and whom to ask. */
function Found({ of: { kind, severity, control, subject, system, identity, owner, detail, action, since } }: { readonly of: Finding }) {
  return (
    <li>
      <h2>
        <Badge state={severity} /> {wordsOf(kind)} · <Name>{subject}</Name>
      </h2>
      <p>
        <Name>{detail}</Name>
      </p>
      <p>
        <strong>To do:</strong> <Name>{action}</Name>
      </p>
      <p className="muted">
        Ask <Name>{owner.name}</Name>. {control}. Since <Age at={since} />
        {system === null ? null : (
          <>
            , on <Name>{system}</Name>
          </>
        )}
        {identity === null ? null : (
          <>
            , of{' '}
            <Link to="/identities/$identity" params={{ identity }}>
              <Name>{identity}</Name>
            </Link>
          </>
        )}
        .
      </p>
    </li>
  )
}
