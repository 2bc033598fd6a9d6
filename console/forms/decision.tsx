import { useMutation, useQueryClient } from '@tanstack/react-query'
import { type FormEvent, useId, useRef, useState } from 'react'
import { type Answer, call } from '../api/client.ts'
import { beginStepUp, finishStepUp, type StepUpChallenge } from '../api/passkey.ts'
import { ConfirmDialog, Failure } from '../ui/step-up.tsx'

type Full = Answer<'GET /v1/approvals/{id}'>
interface Decision {
  readonly decision: 'approve' | 'reject'
  /** Of the passkey that signed the digest; null where none has to. */
  readonly proof: string | null
}

/**
 * Approves or rejects what the page shows, by its digest: if it is another by now, the server refuses. Where a passkey has to sign it, what
 * is signed is shown first.
 */
export function DecisionForm({ of: it, me }: { readonly of: Full; readonly me: string }) {
  const queries = useQueryClient()
  const [reason, setReason] = useState('')
  const [asked, setAsked] = useState<StepUpChallenge | null>(null)
  // One key for each decision: an answer that was lost is asked for again, and nothing is decided twice.
  const keys = useRef({ approve: crypto.randomUUID(), reject: crypto.randomUUID() })
  const id = useId()
  const decide = useMutation({
    mutationFn: async ({ decision, proof }: Decision) => {
      const body = { digest: it.digest, reason: reason.trim() }
      const params = { id: it.id }
      if (decision === 'reject') return call('POST /v1/approvals/{id}/reject', { params, body }, keys.current.reject)
      return call('POST /v1/approvals/{id}/approve', { params, body: { ...body, proof } }, keys.current.approve)
    },
    onSuccess: () => queries.invalidateQueries(),
  })
  const begin = useMutation({
    mutationFn: () => beginStepUp({ action: 'approval:decide', subject: `approve:${it.id}`, digest: it.digest }),
    onSuccess: setAsked,
  })
  const sign = useMutation({
    mutationFn: finishStepUp,
    onSuccess: ({ proof }) => decide.mutate({ decision: 'approve', proof }),
    onSettled: () => setAsked(null),
  })
  const signed = it.factors.some(({ passkey, approvers }) => passkey && approvers.some((one) => one.id === me))
  const busy = decide.isPending || begin.isPending || sign.isPending
  const send = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault()
    const by = (event.nativeEvent as SubmitEvent).submitter
    if (busy) return
    if (by instanceof HTMLButtonElement && by.value === 'reject') decide.mutate({ decision: 'reject', proof: null })
    else if (signed) begin.mutate()
    else decide.mutate({ decision: 'approve', proof: null })
  }
  return (
    <form className="stack" onSubmit={send} aria-label="Decide">
      <label htmlFor={id}>Reason, for the record</label>
      <textarea id={id} required maxLength={1000} rows={3} value={reason} onChange={(event) => setReason(event.target.value)} />
      <p className="actions">
        <button type="submit" value="approve" className="main" disabled={busy}>
          {signed ? 'Approve with a passkey' : 'Approve'}
        </button>
        <button type="submit" value="reject" className="grave" disabled={busy}>
          Reject
        </button>
      </p>
      <Failure
        error={begin.error ?? sign.error ?? decide.error}
        again={() => decide.variables && decide.mutate(decide.variables)}
        then={`${decide.variables?.decision === 'reject' ? 'reject' : 'approve'} ${it.action} · ${it.subject}`}
      />
      {asked === null ? null : (
        <ConfirmDialog
          title="What your passkey confirms: you approve"
          about={`${it.action} · ${it.subject}`}
          asked={asked}
          busy={sign.isPending}
          onUse={() => sign.mutate(asked)}
          onCancel={() => setAsked(null)}
        />
      )}
    </form>
  )
}
