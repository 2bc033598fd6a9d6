import { useMutation, useQueryClient } from '@tanstack/react-query'
import { useRef } from 'react'
import { type Answer, call } from '../api/client.ts'
import { Section } from '../ui/page.tsx'
import { Failure } from '../ui/step-up.tsx'
import { ReasonForm } from './reason.tsx'

const WORDS = {
  withdraw: { title: 'Withdraw the request', submit: 'Withdraw' },
  'take-back': { title: 'Take your decision back', submit: 'Take back' },
} as const

/** Withdraws one's own request, or takes one's own decision back. */
export function WithdrawForm(props: { readonly of: Pick<Answer<'GET /v1/approvals/{id}'>, 'id'>; readonly what: keyof typeof WORDS }) {
  const { of: it, what } = props
  const queries = useQueryClient()
  const key = useRef(crypto.randomUUID())
  const act = useMutation({
    mutationFn: (reason: string) => call(`POST /v1/approvals/{id}/${what}`, { params: { id: it.id }, body: { reason } }, key.current),
    onSuccess: () => queries.invalidateQueries(),
  })
  const { title, submit } = WORDS[what]
  return (
    <Section title={title} id={what}>
      <ReasonForm submit={submit} busy={act.isPending} onSubmit={(reason) => act.mutate(reason)}>
        <Failure error={act.error} again={() => act.variables && act.mutate(act.variables)} />
      </ReasonForm>
    </Section>
  )
}
