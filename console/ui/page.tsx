import { type ReactNode, useEffect, useRef } from 'react'

let loaded = false

/**
 * A room: its title, which takes the focus when the room is entered from another one, so that what reads aloud begins there, and what is
 * in it.
 */
export function Page({ title, above, children }: { readonly title: ReactNode; readonly above?: ReactNode; readonly children: ReactNode }) {
  const heading = useRef<HTMLHeadingElement>(null)
  useEffect(() => {
    const text = heading.current?.textContent
    document.title = text ? `${text} · Rekey` : 'Rekey'
  })
  useEffect(() => {
    // The browser has put the focus at the top of a page that it has just loaded, where the way past the header is.
    if (loaded) heading.current?.focus()
    loaded = true
  }, [])
  return (
    <>
      {above}
      <h1 ref={heading} tabIndex={-1}>
        {title}
      </h1>
      {children}
    </>
  )
}

/** A part of a room, under a heading of its own. */
export function Section({ title, id, children }: { readonly title: string; readonly id: string; readonly children: ReactNode }) {
  return (
    <section aria-labelledby={id}>
      <h2 id={id}>{title}</h2>
      {children}
    </section>
  )
}

/** Facts by name. */
export function Facts({ of }: { readonly of: readonly (readonly [string, ReactNode])[] }) {
  return (
    <dl className="facts">
      {of.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  )
}
