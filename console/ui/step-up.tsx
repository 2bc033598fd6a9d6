import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'
import { useEffect, useRef } from 'react'
import { call, Problem } from '../api/client.ts'
import { beginStepUp, finishStepUp, type StepUpChallenge } from '../api/passkey.ts'
import { sessionQuery } from '../api/session.ts'
import { leaveFor } from '../util/leave.ts'
import { keepNext } from '../util/next.ts'
import { Lines, Name } from './text.tsx'
import { Fault } from './told.tsx'

interface FailureProps {
  readonly error: unknown
  readonly again: () => void
  /** What `again` does, in words: it is done as soon as the better login is there. */
  readonly then?: string
}

/** A failure; where only a better or fresher login is missing, the way to it. `again` repeats what failed. */
export function Failure({ error, again, then }: FailureProps) {
  if (error instanceof Problem && error.stepUp !== null) return <StepUp needs={error.stepUp} again={again} then={then} />
  return <Fault error={error} />
}

interface StepUpProps {
  readonly needs: NonNullable<Problem['stepUp']>
  readonly again: () => void
  readonly then: string | undefined
}

function StepUp({ needs, again, then }: StepUpProps) {
  const best = useBestPasskey()
  const queries = useQueryClient()
  const ways = useQuery({ queryKey: ['GET /v1/login'], queryFn: () => call('GET /v1/login') })
  const stepUp = useMutation({
    mutationFn: async () => finishStepUp(await beginStepUp(null)),
    onSuccess: async ({ aal }) => {
      await queries.invalidateQueries({ queryKey: sessionQuery.queryKey })
      if (aal >= needs.aal) again()
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
      {then === undefined ? null : (
        <p>
          As soon as you have confirmed, this is done: <Name>{then}</Name>
        </p>
      )}
      {best !== null && best < needs.aal ? <TooWeak best={best} needed={needs.aal} providers={ways.data?.providers.length !== 0} /> : null}
      {stepUp.data && stepUp.data.aal < needs.aal ? (
        <p>That passkey may be synced, so it proves AAL{stepUp.data.aal}. Use the one that stays on its device.</p>
      ) : null}
      <p className="actions">
        {best !== null && best < needs.aal ? null : (
          <button type="button" className="main" disabled={stepUp.isPending} onClick={() => stepUp.mutate()}>
            Confirm with a passkey
          </button>
        )}
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

/** The level that the best passkey of who is logged in proves; 0 without one; null while that is not known. */
function useBestPasskey(): number | null {
  const { data: me } = useQuery(sessionQuery)
  const query = { identity: me?.id ?? '', limit: 100 }
  const { data } = useQuery({
    queryKey: ['GET /v1/passkeys', 'best', query],
    queryFn: () => call('GET /v1/passkeys', { query }),
    enabled: me?.kind === 'person',
  })
  return data === undefined ? null : Math.max(0, ...data.items.map(({ deviceBound }) => (deviceBound ? 3 : 2)))
}

/** Why a passkey cannot do it, and what can. A button that never works is none. */
function TooWeak({ best, needed, providers }: { readonly best: number; readonly needed: number; readonly providers: boolean }) {
  const page = <Link to="/me">your own page</Link>
  if (best > 0) {
    return (
      <p>
        The passkey that you have may be synced to other devices, so it proves AAL{best} and never AAL{needed}. Enrol one that stays on its
        device, such as a security key, on {page}, and use that{providers ? ', or log in again with as much at your provider' : ''}.
      </p>
    )
  }
  return (
    <p>
      You have no passkey here.{' '}
      {providers
        ? 'Log in again at your provider with a second factor. If that is still too little, ask who runs Rekey what it is worth.'
        : 'Ask who runs Rekey how people log in here.'}{' '}
      With a login of AAL2 you can enrol a passkey on {page}.
    </p>
  )
}

/** Shows what a passkey is about to confirm, before it is asked. Escape leaves it undone. */
export function ConfirmDialog(props: {
  readonly asked: StepUpChallenge
  readonly title: string
  /** What it is about, as the page shows it. */
  readonly about: string
  readonly busy: boolean
  readonly onUse: () => void
  readonly onCancel: () => void
}) {
  const { asked, title, about, busy, onUse, onCancel } = props
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
      <p>
        <strong>
          <Name>{about}</Name>
        </strong>
      </p>
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
