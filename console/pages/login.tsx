import { useMutation, useQuery } from '@tanstack/react-query'
import { Link, useNavigate, useSearch } from '@tanstack/react-router'
import { useEffect } from 'react'
import { call } from '../api/client.ts'
import { useEntered } from '../api/entered.ts'
import { logInByPasskey } from '../api/passkey.ts'
import { Page } from '../ui/page.tsx'
import { Name } from '../ui/text.tsx'
import { Fault, Progress } from '../ui/told.tsx'
import { hasCode } from '../util/code.ts'
import { leaveFor } from '../util/leave.ts'
import { keepNext } from '../util/next.ts'

export function LoginPage() {
  const { next } = useSearch({ from: '/bare/login' })
  const navigate = useNavigate()
  const enter = useEntered()
  const ways = useQuery({ queryKey: ['GET /v1/login'], queryFn: () => call('GET /v1/login') })
  const begin = useMutation({
    mutationFn: (provider: string) => call('POST /v1/login/oidc/begin', { body: { provider } }),
    onSuccess: ({ url }) => {
      keepNext(next)
      leaveFor(url)
    },
  })
  const passkey = useMutation({ mutationFn: logInByPasskey, onSuccess: () => enter(next ?? '/') })
  const busy = begin.isPending || passkey.isPending
  useEffect(() => {
    // The address that a bootstrap prints leads here, with the code in its fragment.
    if (hasCode()) void navigate({ to: '/enrol', replace: true })
  }, [navigate])
  return (
    <Page title="Log in">
      {ways.isPending ? <Progress>Loading…</Progress> : null}
      <Fault error={ways.error ?? begin.error ?? passkey.error} />
      <ul className="ways">
        {ways.data?.providers.map((provider) => (
          <li key={provider}>
            <button type="button" disabled={busy} onClick={() => begin.mutate(provider)}>
              Continue with <Name>{provider}</Name>
            </button>
          </li>
        ))}
        <li>
          <button type="button" disabled={busy} onClick={() => passkey.mutate()}>
            {passkey.isPending ? 'Waiting for the passkey…' : 'Use a passkey'}
          </button>
        </li>
      </ul>
      <p>
        <Link to="/enrol">I have an enrolment code</Link>
      </p>
      <OtherName />
    </Page>
  )
}

/** Passkeys belong to a name: a browser makes none for an address of numbers (WebAuthn level 3, section 5.1.3). */
export function OtherName() {
  if (!/^(\d+\.){3}\d+$|^\[/.test(location.hostname)) return null
  const there = `${location.protocol}//localhost:${location.port}${location.pathname}${location.search}`
  return (
    <p className="note">
      Passkeys do not work under this address. Use <a href={there}>localhost</a> instead.
    </p>
  )
}
