import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { useEffect, useRef } from 'react'
import { call, Problem } from '../api/client.ts'
import { beginStepUp, finishStepUp, type StepUpChallenge } from '../api/passkey.ts'
import { sessionQuery } from '../api/session.ts'
import { leaveFor } from '../util/leave.ts'
import { keepNext } from '../util/next.ts'
import { Lines, Name } from './text.tsx'
import { Fault } from './told.tsx'

/** A failure; where only a better or fresher login is missing, the way to it. `again` repeats what failed. */
export function Failure({ error, again }: { readonly error: unknown; readonly again: () => void }) {
  if (error instanceof Problem && error.stepUp !== null) return <StepUp needs={error.stepUp} again={again} />
  return <Fault error={error} />
}

function StepUp({ needs, again }: { readonly needs: NonNullable<Problem['stepUp']>; readonly again: () => void }) {
  const queries = useQueryClient()
  const ways = useQuery({ queryKey: ['GET /v1/login'], queryFn: () => call('GET /v1/login') })
  const stepUp = useMutation({
    mutationFn: async () => finishStepUp(await beginStepUp(null)),
    onSuccess: async () => {
      await queries.invalidateQueries({ queryKey: sessionQuery.queryKey })
      again()
    },
  })
  const leave = useMutation({
    mutationFn: (provider: string) => {
      const aal = needs.aal === 3 ? 3 : needs.aal === 2 ? 2 : 1
      const maxAgeSeconds = needs.maxAgeSeconds ?? undefined
      return call('POST /v1/login/oidc/begin', { body: { provider, aal, maxAgeSeconds } })
    },
    onSuccess: ({ url }) => {
      keepNext(`${location.pathname}${location.search}`, needs.aal)
      leaveFor(url)
    },
  })
  return (
    <div className="note" role="alert">
      <p>
        This needs a login of level AAL{needs.aal}
        {needs.maxAgeSeconds === null ? '' : `, at most ${Math.max(1, Math.round(needs.maxAgeSeconds / 60))} minutes old`}. Nothing has been
        done yet.
      </p>
      <p className="actions">
        <button type="button" className="main" disabled={stepUp.isPending} onClick={() => stepUp.mutate()}>
          Confirm with a passkey
        </button>
        {ways.data?.providers.map((provider) => (
          <button key={provider} type="button" onClick={() => leave.mutate(provider)}>
            Log in again at <Name>{provider}</Name>
          </button>
        ))}
      </p>
      <Fault error={stepUp.error ?? leave.error} />
    </div>
  )
}

/** Shows what a passkey is about to confirm, before it is asked. Escape leaves it undone. */
export function ConfirmDialog(props: {
  readonly asked: StepUpChallenge
  readonly title: string
  readonly busy: boolean
  readonly onUse: () => void
  readonly onCancel: () => void
}) {
  const { asked, title, busy, onUse, onCancel } = props
  const dialog = useRef<HTMLDialogElement>(null)
  useEffect(() => {
    // The browser keeps the focus inside, and gives it back where it was.
    const shown = dialog.current
    shown?.showModal()
    return () => shown?.close()
  }, [])
  return (
    <dialog ref={dialog} aria-labelledby="confirm-title" onCancel={onCancel}>
      <h2 id="confirm-title">{title}</h2>
      <Lines>{asked.words}</Lines>
      <p className="actions">
        <button type="button" className="main" disabled={busy} onClick={onUse}>
          {busy ? 'Waiting for the passkey…' : 'Use the passkey'}
        </button>
        <button type="button" disabled={busy} onClick={onCancel}>
          Cancel
        </button>
      </p>
    </dialog>
  )
}
