import { useMutation } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'
import { useEffect } from 'react'
import { call } from '../api/client.ts'
import { useEntered } from '../api/entered.ts'
import { Page } from '../ui/page.tsx'
import { Fault, Progress } from '../ui/told.tsx'
import { takeNext } from '../util/next.ts'

/** What the provider sent back. Taken before anything else can read the address, and out of it: it is good for one login. */
let answer = takeAnswer()

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
  const { mutate, error } = useMutation({
    mutationFn: (body: Answer) => call('POST /v1/login/oidc/finish', { body }),
    onSuccess: () => enter(takeNext()),
  })
  useEffect(() => {
    if (answer === null) return
    const taken = answer
    answer = null
    mutate(taken)
  }, [mutate])
  return (
    <Page title="Logging in">
      {error ? <Fault error={error} /> : <Progress>One moment…</Progress>}
      <p>
        <Link to="/login">Back to the login</Link>
      </p>
    </Page>
  )
}
