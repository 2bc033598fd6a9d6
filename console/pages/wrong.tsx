import { type ErrorComponentProps, Link } from '@tanstack/react-router'
import { Page } from '../ui/page.tsx'
import { Fault } from '../ui/told.tsx'

export function MissingPage() {
  return (
    <Page title="There is nothing here">
      <p>
        <Link to="/">Go to the start</Link>
      </p>
    </Page>
  )
}

/** An address that is no room's. The server answers it with this page and 404. */
export function NowherePage() {
  return (
    <div className="bare">
      <p className="brand">Rekey</p>
      <main id="main">
        <MissingPage />
      </main>
    </div>
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
