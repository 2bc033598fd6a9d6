import { Link } from '@tanstack/react-router'
import type { ReactNode } from 'react'
import { Problem } from '../api/client.ts'

/** What went wrong, and what to do next. Announced at once. */
export function Fault({ error }: { readonly error: unknown }) {
  if (error === null || error === undefined) return null
  const problem = error instanceof Problem ? error : null
  return (
    <div className="fault" role="alert">
      <p>{error instanceof Error ? error.message : 'It failed.'}</p>
      {problem?.faults.map(({ message, path }) => (
        <p key={`${path}${message}`}>
          {path}: {message}
        </p>
      ))}
      {problem?.approval ? (
        <p>
          <Link to="/approvals/$id" params={{ id: problem.approval }}>
            See the request
          </Link>
          , and come back here when it is approved.
        </p>
      ) : null}
      {problem?.hint ? <p className="muted">{problem.hint}</p> : null}
    </div>
  )
}

/** What is going on or has been done. Announced when the reader pauses. */
export function Progress({ children }: { readonly children: ReactNode }) {
  return (
    <p className="progress" role="status" aria-live="polite">
      {children}
    </p>
  )
}
