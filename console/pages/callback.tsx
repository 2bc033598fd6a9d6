import { useMutation } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'
import { useEffect, useState } from 'react'
import { call } from '../api/client.ts'
import { useEntered } from '../api/entered.ts'
import { Page } from '../ui/page.tsx'
import { Name } from '../ui/text.tsx'
import { Fault, Progress } from '../ui/told.tsx'
import { takeLevel, takeNext } from '../util/next.ts'

/** What the provider sent back. Taken before anything else can read the address, and out of it: it is good for one login. */
let answer = takeAnswer()

interface Weak {
  readonly provider: string
  readonly aal: number
  readonly asked: number
}

interface Answer {
  /** Whose page this is: what stands on it is that provider's word and nobody else's. */
  readonly provider: string
  readonly response: string
}

function takeAnswer(): Answer | null {
  const provider = /^\/login\/callback\/([^/]+)$/.exec(location.pathname)?.[1]
  if (provider === undefined) return null
  const response = location.hash.slice(1) || location.search.slice(1)
  history.replaceState(null, '', location.pathname)
  return response === '' ? null : { provider: decodeURIComponent(provider), response }
}

export function CallbackPage() {
  const enter = useEntered()
  const [weak, setWeak] = useState<Weak | null>(null)
  const { mutate, error } = useMutation({
    mutationFn: (body: Answer) => call('POST /v1/login/oidc/finish', { body }),
    onSuccess: ({ aal }, { provider }) => {
      const asked = takeLevel()
      // Back in the room it would only be refused again: say first that this provider did not do what it was asked for.
      if (aal < asked) setWeak({ provider, aal, asked })
      else enter(takeNext())
    },
  })
  useEffect(() => {
    if (answer === null) return
    const taken = answer
    answer = null
    mutate(taken)
  }, [mutate])
  if (weak !== null) return <TooWeak of={weak} onGoOn={() => enter(takeNext())} />
  return (
    <Page title="Logging in">
      {error ? <Fault error={error} /> : <Progress>One moment…</Progress>}
      <p>
        <Link to="/login">Back to the login</Link>
      </p>
    </Page>
  )
}

function TooWeak({ of: { provider, aal, asked }, onGoOn }: { readonly of: Weak; readonly onGoOn: () => void }) {
  return (
    <Page title={`Logged in, at AAL${aal}`}>
      <p className="note" role="alert">
        AAL{asked} was asked for, and <Name>{provider}</Name> says that this login is worth AAL{aal}. Logging in there again in the same way
        changes nothing: use a second factor there, or a passkey here{asked > 2 ? ' that stays on its device' : ''}. If you did, ask who
        runs Rekey which level that factor is worth (rekey login provider).
      </p>
      <button type="button" className="main" onClick={onGoOn}>
        Go on with AAL{aal}
      </button>
    </Page>
  )
}
