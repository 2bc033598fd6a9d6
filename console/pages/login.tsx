import { useMutation, useQuery } from '@tanstack/react-query'
import { useSearch } from '@tanstack/react-router'
import { call } from '../api/client.ts'
import { Page } from '../ui/page.tsx'
import { Name } from '../ui/text.tsx'
import { Fault, Progress } from '../ui/told.tsx'
import { keepNext } from '../util/next.ts'

/** Goes to a provider of logins: the one place where the console leaves its origin, as a page and never as a request of one. */
export function leaveFor(url: string): void {
  if (!/^https?:$/.test(new URL(url).protocol)) throw new Error('The provider has no web address.')
  location.assign(url)
}

export function LoginPage() {
  const { next } = useSearch({ from: '/bare/login' })
  const ways = useQuery({ queryKey: ['GET /v1/login'], queryFn: () => call('GET /v1/login') })
  const begin = useMutation({
    mutationFn: (provider: string) => call('POST /v1/login/oidc/begin', { body: { provider } }),
    onSuccess: ({ url }) => {
      keepNext(next)
      leaveFor(url)
    },
  })
  return (
    <Page title="Log in">
      {ways.isPending ? <Progress>Loading…</Progress> : null}
      <Fault error={ways.error ?? begin.error} />
      <ul className="ways">
        {ways.data?.providers.map((provider) => (
          <li key={provider}>
            <button type="button" disabled={begin.isPending} onClick={() => begin.mutate(provider)}>
              Continue with <Name>{provider}</Name>
            </button>
          </li>
        ))}
      </ul>
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
