import type { EventBody } from '../evidence/index.ts'
import { timeText } from '../kernel/index.ts'
import type { VersionRow } from './fsck.store.ts'
import type { VersionColumns } from './record.ts'

type Report = (where: string, what: string) => void

/** What the log says of one version. */
export interface ToldVersion {
  readonly credential: string
  readonly subject: string
  columns: VersionColumns
}

/** The columns of a version that are compared with its events. `true` in an event: some time, set by the clock of the database. */
const COMPARED = [
  'credential_id',
  'state',
  'number',
  'account',
  'fingerprint',
  'installed_at',
  'revoked_at',
  'effective_dead_at',
  'proved_dead_at',
  'shred_after',
  // With the time of it, or neither (version_leaked): whether the value is given back hangs on it.
  'leaked_reason',
] as const
const UNTOLD = {
  installed_at: null,
  revoked_at: null,
  effective_dead_at: null,
  proved_dead_at: null,
  shred_after: null,
  leaked_reason: null,
} as const

/** Adds what one event says of versions. `current`: the version in use of each credential, before this event. */
export function followVersionRows(versions: Map<string, ToldVersion>, event: EventBody, current: ReadonlyMap<string, string>): void {
  const { type, subject, data, links } = event
  const { credential, version, from, to } = links
  if (credential === undefined) return
  const tell = (id: string | undefined, columns: VersionColumns) => {
    if (id === undefined) return
    const told = versions.get(id)
    if (told === undefined) versions.set(id, { credential, subject, columns: { ...UNTOLD, credential_id: credential, ...columns } })
    else told.columns = { ...told.columns, ...columns }
  }
  const born = () => ({ number: Number(data.version), account: String(data.account), fingerprint: textOf(data.fingerprint) })
  if (type === 'version.declared') tell(version, { state: 'current', ...born() })
  else if (type === 'root.tried') tell(version, { state: 'staged', ...born(), shred_after: true })
  else if (type === 'root.refused') tell(version, { state: 'void', shred_after: null })
  else if (type === 'root.set') {
    tell(to, { state: 'current', shred_after: null })
    const dead = textOf(data.provedDeadAt)
    tell(from, { state: textOf(data.oldState), effective_dead_at: dead, proved_dead_at: dead, shred_after: true })
  } else if (type === 'version.leaked') tell(version, { leaked_reason: textOf(data.reason) })
  else if (type === 'version.not_provable') tell(version, { state: 'unprovable', shred_after: true })
  else if (type === 'version.irrevocable') tell(version, { state: 'irrevocable', shred_after: true })
  else if (type === 'version.shredded') {
    if (version !== undefined && versions.get(version)?.columns.state === 'staged') tell(version, { state: 'void' })
  } else if (type === 'credential.changed' && data.accounts !== undefined) {
    const id = current.get(credential)
    const accounts = objectOf(data.accounts).after
    // The root's value stays accepted at the account before. Any other account goes only where it does not exist.
    if (subject.startsWith('root@')) tell(id, { state: 'irrevocable' })
    else if (Array.isArray(accounts) && !accounts.includes(versions.get(id ?? '')?.columns.account))
      tell(id, { account: String(accounts[0]) })
  }
  if (type === 'rotation.installed') tell(to, { number: Number(data.version) })
  for (const [id, columns] of Object.entries(objectOf(objectOf(data.stored).versions))) tell(id, objectOf(columns) as VersionColumns)
}

const textOf = (value: unknown) => (typeof value === 'string' ? value : null)

function objectOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
}

/**
 * Names the columns in which a row is not what its events tell, and a ciphertext that is gone or is back. `named`: something was found
 * in the row already, so that state and proof, of which it was, are not named again.
 */
export function compareVersionRow(row: VersionRow, told: ToldVersion | undefined, gone: boolean, named: boolean, report: Report): void {
  const where = `version ${row.number} of ${row.credential}`
  if (told === undefined) {
    report(where, 'The table has it; the log knows nothing of it.')
    return
  }
  if (gone && (row.has_sealed || !row.shredded)) report(where, 'The log says that its ciphertext was destroyed; the table does not.')
  const given = typeof told.columns.fingerprint === 'string'
  if (!gone && !row.shredded && given !== row.has_sealed)
    report(
      where,
      given ? 'Its ciphertext is gone; the log does not say that it was destroyed.' : 'It has a ciphertext that no event tells of.',
    )
  if (row.moving) return
  for (const column of COMPARED) {
    if (named && (column === 'state' || column === 'proved_dead_at')) continue
    const [log, table] = [told.columns[column], plain(row[column])]
    if (log === undefined || log === table || (log === true && table !== null)) continue
    report(where, `${column} is ${log === true ? 'a time' : JSON.stringify(log)} by the log; the table says ${JSON.stringify(table)}.`)
  }
}

const plain = (value: string | number | Date | null) => (value instanceof Date ? timeText(value) : value)
