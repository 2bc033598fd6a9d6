import { type ErrorComponentProps, Link } from '@tanstack/react-router'
import { Page } from '../ui/page.tsx'
import { Fault } from '../ui/told.tsx'

export function MissingPage() {
  return (
    <Page title="There is no such page">
      <p>
        <Link to="/">Go to the start</Link>
      </p>
    </Page>
  )
}

export function FailedPage({ error, reset }: ErrorComponentProps) {
  return (
    <main id="main" className="bare">
      <Page title="This page failed">
        <Fault error={error} />
        <button type="button" onClick={reset}>
          Try again
        </button>
      </Page>
    </main>
  )
}
