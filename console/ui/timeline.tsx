import { useInfiniteQuery } from '@tanstack/react-query'
import { type Answer, Problem } from '../api/client.ts'
import { listOf } from '../api/lists.ts'
import { List } from './list.tsx'
import { Data, Name, When } from './text.tsx'

type Event = Answer<'GET /v1/identities/{identity}/events'>['items'][number]

/** One log's events of an identity, the latest first. */
export function Timeline({
  identity,
  log,
  title,
}: {
  readonly identity: string
  readonly log: 'identity' | 'credential'
  readonly title: string
}) {
  const list = useInfiniteQuery(listOf('GET /v1/identities/{identity}/events', { params: { identity }, query: { log, limit: 20 } }))
  const forbidden = list.error instanceof Problem && list.error.code === 'forbidden'
  const id = `timeline-${log}`
  return (
    <section aria-labelledby={id} className="timeline">
      <h3 id={id}>{title}</h3>
      {forbidden ? (
        <p className="muted">You may not read these.</p>
      ) : (
        <List of={list} empty="Nothing is on record.">
          {(items) => (
            <ol>
              {items.map((event) => (
                <Happened key={event.id} of={event} />
              ))}
            </ol>
          )}
        </List>
      )}
    </section>
  )
}

function Happened({ of: { at, words, type, subject, actor, actorName, links, data, index } }: { readonly of: Event }) {
  return (
    <li>
      <p>
        <When at={at} />
      </p>
      <p>
        <strong>{words}</strong> · <Name>{subject}</Name>
      </p>
      <p className="muted">
        by <Name>{actorName ?? actor}</Name>
        {links.proof_rule !== undefined && <> (let in by the rule {links.proof_rule})</>}
      </p>
      <details>
        <summary>Details</summary>
        <p className="muted">
          <code>{type}</code>, {index === null ? 'not numbered yet' : `number ${index} in its log`}
        </p>
        <Data of={data} />
      </details>
    </li>
  )
}
