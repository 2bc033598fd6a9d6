import { type FormEvent, type ReactNode, useId, useState } from 'react'

/** Characters of the reason of a bypass, at least; the server asks for as many. */
export const BYPASS_CHARS = 10

/** Asks for a reason, and for the name where it cannot be taken back, before it lets something be done. */
export function ReasonForm(props: {
  readonly submit: string
  readonly grave?: boolean
  /** What has to be typed; null: nothing. */
  readonly typed?: string | null
  /** The reason to begin with. */
  readonly initial?: string
  /** Characters of the reason, at least. */
  readonly atLeast?: number
  readonly busy: boolean
  readonly children?: ReactNode
  readonly onSubmit: (reason: string) => void
}) {
  const { submit, grave = false, typed = null, atLeast = 1, initial = '', busy, children, onSubmit } = props
  const [reason, setReason] = useState(initial)
  const [name, setName] = useState('')
  const id = useId()
  const right = (typed === null || name === typed) && [...reason.trim()].length >= atLeast
  const send = (event: FormEvent) => {
    event.preventDefault()
    if (right && !busy) onSubmit(reason.trim())
  }
  return (
    <form className="stack" onSubmit={send}>
      <label htmlFor={`${id}-reason`}>Reason, for the record</label>
      {atLeast > 1 ? (
        <p className="muted" id={`${id}-least`}>
          At least {atLeast} characters.
        </p>
      ) : null}
      <textarea
        id={`${id}-reason`}
        aria-describedby={atLeast > 1 ? `${id}-least` : undefined}
        required
        maxLength={1000}
        rows={3}
        value={reason}
        onChange={(event) => setReason(event.target.value)}
      />
      {typed === null ? null : (
        <>
          <label htmlFor={`${id}-name`}>
            Type <bdi className="name">{typed}</bdi> to confirm
          </label>
          <input id={`${id}-name`} required autoComplete="off" value={name} onChange={(event) => setName(event.target.value)} />
        </>
      )}
      {children}
      <button type="submit" className={grave ? 'grave' : 'main'} disabled={busy || !right}>
        {busy ? 'Working…' : submit}
      </button>
    </form>
  )
}
