import type { ReactNode } from 'react'

interface Column<T> {
  readonly name: string
  readonly show: (row: T) => ReactNode
}

/** Rows under headings. On a narrow screen each row is a card, and each value stands beside its heading. */
export function Table<T>(props: {
  readonly caption: string
  readonly columns: readonly Column<T>[]
  readonly rows: readonly T[]
  readonly keyOf: (row: T) => string
}) {
  const { caption, columns, rows, keyOf } = props
  return (
    <table>
      <caption className="unseen">{caption}</caption>
      <thead>
        <tr>
          {columns.map(({ name }) => (
            <th key={name} scope="col">
              {name}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {rows.map((row) => (
          <tr key={keyOf(row)}>
            {columns.map(({ name, show }) => (
              <td key={name} data-name={name}>
                <div>{show(row)}</div>
              </td>
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  )
}
