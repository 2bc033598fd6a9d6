/** What runs SQL: a transaction or, for single statements, the pool. Values are always parameters, never joined into `text`. */
export interface Sql {
  /** Rows as objects. Throws `database_failed` (constraint and serialisation errors keep their SQLSTATE in `detail`). */
  query<Row extends object>(text: string, params?: readonly unknown[]): Promise<Row[]>
}

/** One open transaction. Only `Store.inTx` makes one, so that a function that asks for `Tx` cannot be called outside. */
export interface Tx extends Sql {
  readonly inTransaction: true
  /**
   * Sends a statement whose rows nobody needs, without waiting for its answer: as a rule it goes out with the commit, in one packet. If
   * the database refuses it, nothing of the transaction happens, and `inTx` throws what the statement failed with.
   */
  later(text: string, params: readonly unknown[]): void
}

/** The database. */
export interface Store extends Sql {
  /** Runs `use` in one transaction: commits when it resolves, rolls back when it rejects. Never nested. */
  inTx<T>(use: (tx: Tx) => Promise<T>): Promise<T>
  /** Calls `onNotice` with the payload at each `NOTIFY channel`, and with '' after a reconnect. Resolves with a stop function. */
  listen(channel: string, onNotice: (payload: string) => void): Promise<() => Promise<void>>
  /** Runs `use` on one connection of its own, for session-level advisory locks and long scans. */
  onConnection<T>(use: (sql: Sql) => Promise<T>): Promise<T>
  close(): Promise<void>
}
