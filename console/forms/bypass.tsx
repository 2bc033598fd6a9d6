import { useMutation, useQueryClient } from '@tanstack/react-query'
import { useRef } from 'react'
import { type Answer, call } from '../api/client.ts'
import { Section } from '../ui/page.tsx'
import { Failure } from '../ui/step-up.tsx'
import { Name } from '../ui/text.tsx'
import { BYPASS_CHARS, ReasonForm } from './reason.tsx'

/** Lets a request through past those who were asked; says first who they are. */
export function BypassForm({ of: it, me }: { readonly of: Answer<'GET /v1/approvals/{id}'>; readonly me: string }) {
  const queries = useQueryClient()
  const key = useRef(crypto.randomUUID())
  const act = useMutation({
    mutationFn: (reason: string) =>
      call('POST /v1/approvals/{id}/bypass', { params: { id: it.id }, body: { digest: it.digest, reason } }, key.current),
    onSuccess: () => queries.invalidateQueries(),
  })
  const decided = new Set(it.decisions.flatMap(({ by, takenBackAt }) => (takenBackAt === null ? [by] : [])))
  const asked = new Map(it.factors.flatMap(({ approvers }) => approvers.map(({ id, name }) => [id, name] as const)))
  const skipped = [...asked].filter(([id]) => id !== me && !decided.has(id))
  return (
    <Section title="Bypass the approval" id="bypass">
      <div className="fault">
        <p>
          {skipped.length === 0
            ? 'It goes through without the approvals that it lacks.'
            : 'It goes through without those who were asked: you skip '}
          {skipped.map(([id, name], index) => (
            <span key={id}>
              {index === 0 ? '' : index === skipped.length - 1 ? ' and ' : ', '}
              <Name>{name}</Name>
            </span>
          ))}
          {skipped.length === 0 ? '' : '. Each of them is told, with your name and your reason.'}
        </p>
        <p>It stays on record for ever as a bypass and never counts as an approval.</p>
      </div>
      <ReasonForm grave submit="Bypass the approval" atLeast={BYPASS_CHARS} busy={act.isPending} onSubmit={(reason) => act.mutate(reason)}>
        <Failure
          error={act.error}
          again={() => act.variables && act.mutate(act.variables)}
          then={`bypass the approval of ${it.action} · ${it.subject}`}
        />
      </ReasonForm>
    </Section>
  )
}
