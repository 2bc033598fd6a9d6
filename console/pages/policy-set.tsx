import { useQuery } from '@tanstack/react-query'
import { Link, useParams, useRouteContext } from '@tanstack/react-router'
import { type Answer, call } from '../api/client.ts'
import { PolicyApproveForm, PolicyBypassForm } from '../forms/policy.tsx'
import { Facts, Page, Section } from '../ui/page.tsx'
import { Lines, Name, None, When } from '../ui/text.tsx'
import { Fault, Progress } from '../ui/told.tsx'
import { By, StateOfSet } from './policies.tsx'

type Full = Answer<'GET /v1/policies/{id}'>
type Change = Full['changes'][number]

export function PolicySetPage() {
  const { policies: id } = useParams({ from: '/inside/policies/$policies' })
  const { data, error, isPending } = useQuery({
    queryKey: ['GET /v1/policies/{id}', id],
    queryFn: () => call('GET /v1/policies/{id}', { params: { id } }),
  })
  const above = <Link to="/policies">All policies</Link>
  if (isPending) return <Progress>Loading…</Progress>
  if (!data) {
    return (
      <Page title="Policies" above={above}>
        <Fault error={error} />
      </Page>
    )
  }
  return (
    <Page title={<Name>{data.words}</Name>} above={above}>
      <Shown of={data} />
    </Page>
  )
}

function Shown({ of: it }: { readonly of: Full }) {
  const { me } = useRouteContext({ from: '/inside/policies/$policies' })
  const proposed = it.state === 'proposed'
  const own = it.proposedBy === `person:${me.id}`
  return (
    <>
      <Facts
        of={[
          ['State', <StateOfSet key="state" state={it.state} />],
          ['Proposed by', <By key="by" origin={it.origin} by={it.proposedBy} name={it.proposedByName} />],
          ['Proposed', <When key="at" at={it.proposedAt} />],
          ['In force since', it.activatedAt === null ? <None key="since">never</None> : <When key="since" at={it.activatedAt} />],
        ]}
      />
      {it.bypassReason === null ? null : (
        <p className="note">
          It came into force without approval. Reason given: <Name>{it.bypassReason}</Name>
        </p>
      )}
      <Section title={proposed ? 'What would change' : 'What differs from what is in force'} id="changes">
        <Changes of={it.changes} />
        <p>
          Digest of the whole set <code>{it.digest}</code>
        </p>
      </Section>
      <BothHands of={it.bothHands} />
      <Section title="The whole set" id="files">
        {it.files.map(({ name, text }) => (
          <details key={name}>
            <summary>
              <Name>{name}</Name>
            </summary>
            <Text>{text}</Text>
          </details>
        ))}
      </Section>
      {proposed && me.may.includes('policy:approve') ? <PolicyApproveForm of={it} own={own} /> : null}
      {proposed && me.may.includes('policy:bypass') ? <PolicyBypassForm of={it} /> : null}
    </>
  )
}

/** Who was found to come to hold both hands by it, and was forced for the reason in its words. */
function BothHands({ of: found }: { readonly of: Full['bothHands'] }) {
  if (found.length === 0) return null
  return (
    <Section title="Brings both hands together" id="hands">
      <p className="fault">
        By force, for the reason above, these would hold directory rights and credential rights together. They were found when it was
        proposed; nobody who was given a role since comes with it.
      </p>
      <ul>
        {found.map(({ kind, id, name, hands }) => (
          <li key={id}>
            {kind === 'token' ? 'The token ' : ''}
            <Name>{name}</Name>
            {hands.map(({ hand, by, actions }) => (
              <p key={`${hand} ${by}`} className="muted">
                {hand}: <Name>{by}</Name> ({actions.join(', ')})
              </p>
            ))}
          </li>
        ))}
      </ul>
    </Section>
  )
}

const DONE = { added: 'new', removed: 'taken away', changed: 'changed' } as const

/** In a few words how much of which file, and then every line. */
function Changes({ of: changes }: { readonly of: readonly Change[] }) {
  if (changes.length === 0) return <p className="muted">Nothing: these are the texts in force.</p>
  return (
    <ul className="cards">
      {changes.map(({ file, change, lines }) => (
        <li key={file}>
          <h3>
            <Name>{file}</Name>: {DONE[change]}, {countOf(lines)}
          </h3>
          <Diff lines={lines} />
        </li>
      ))}
    </ul>
  )
}

function countOf(lines: readonly string[]): string {
  const [plus, minus] = ['+', '-'].map((sign) => lines.filter((line) => line.startsWith(sign)).length)
  const words = (count: number | undefined, what: string) => (count ? [`${count} ${count === 1 ? 'line' : 'lines'} ${what}`] : [])
  return [...words(plus, 'added'), ...words(minus, 'taken out')].join(', ')
}

/** Each line with its sign; what colour says the sign says too. */
function Diff({ lines }: { readonly lines: readonly string[] }) {
  const kinds = { '+': 'plus', '-': 'minus' } as Readonly<Record<string, string>>
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by keyboard.
    <pre tabIndex={0} className="diff">
      {lines.map((line, index) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: lines never move, and equal ones stand beside each other.
        <span key={index} className={kinds[line.charAt(0)] ?? 'same'}>
          <Lines>{line}</Lines>
        </span>
      ))}
    </pre>
  )
}

function Text({ children }: { readonly children: string }) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by keyboard.
    <pre tabIndex={0}>
      <Lines>{children}</Lines>
    </pre>
  )
}
