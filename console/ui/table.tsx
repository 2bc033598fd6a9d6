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
    // The roles are said again because a narrow screen shows the table as blocks, which browsers then no longer call a table.
    <table role="table">
      <caption className="unseen">{caption}</caption>
      <thead role="rowgroup">
        <tr role="row">
          {columns.map(({ name }) => (
            <th key={name} scope="col" role="columnheader">
              {name}
            </th>
          ))}
        </tr>
      </thead>
      <tbody role="rowgroup">
        {rows.map((row) => (
          <tr key={keyOf(row)} role="row">
            {columns.map(({ name, show }) => (
              <td key={name} data-name={name} role="cell">
                {show(row)}
              </td>
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  )
}
