/** Fields of an address's query: of a closed list, or any text. */
export type Fields = Readonly<Record<string, readonly string[] | null>>

/** What of them is there. */
export type Search<F extends Fields> = { [K in keyof F]?: F[K] extends readonly (infer V)[] ? V : string }

/** Takes the fields out of what an address says, and leaves the rest where it is: an address may come from anybody. */
export function searchOf<const F extends Fields>(fields: F): (raw: Readonly<Record<string, unknown>>) => Search<F> {
  return (raw) => {
    const found = Object.entries(fields).flatMap(([name, among]) => {
      // The router reads 7 and true as what they look like.
      const value = raw[name] === undefined || raw[name] === null ? '' : String(raw[name]).trim()
      return value === '' || (among !== null && !among.includes(value)) ? [] : [[name, value] as const]
    })
    return Object.fromEntries(found) as Search<F>
  }
}

/** The fields of a form as text. */
export function fieldsOf(form: HTMLFormElement): Record<string, string> {
  return Object.fromEntries([...new FormData(form)].map(([name, value]) => [name, typeof value === 'string' ? value : '']))
}
