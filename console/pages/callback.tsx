import { useMutation } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'
import { useEffect } from 'react'
import { call } from '../api/client.ts'
import { useEntered } from '../api/entered.ts'
import { Page } from '../ui/page.tsx'
import { Fault, Progress } from '../ui/told.tsx'
import { takeNext } from '../util/next.ts'

/** What the provider sent back. Taken before anything else can read the address, and out of it: it is good for one login. */
let response = takeResponse()

function takeResponse(): string | null {
  if (location.pathname !== '/login/callback') return null
  const found = location.hash.slice(1) || location.search.slice(1)
  history.replaceState(null, '', '/login/callback')
  return found === '' ? null : found
}

export function CallbackPage() {
  const enter = useEntered()
  const { mutate, error } = useMutation({
    mutationFn: (text: string) => call('POST /v1/login/oidc/finish', { body: { response: text } }),
    onSuccess: () => enter(takeNext()),
  })
  useEffect(() => {
    if (response === null) return
    const text = response
    response = null
    mutate(text)
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
