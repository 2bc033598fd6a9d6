import { factsOf } from '../server.ts'
import type { Link } from './link.ts'
import { formatAccount } from './names.ts'

/**
 * Nothing that MariaDB keeps in its data folder names the server, so it is told by where it runs. `server_uid` is a hash over the machine's
 * network card and the port (10.5.26, 10.6.19, 10.11.9, 11.4.3 and newer): with it two machines of one name are two. A server that is
 * moved, renamed or made anew in another container is another one by these.
 */
const FACTS = ['datadir', 'hostname', 'port', 'server_id', 'server_uid']
const READ_FACTS = `SHOW GLOBAL VARIABLES WHERE Variable_name IN (${FACTS.map((name) => `'${name}'`).join(', ')})`

/** What the server says of itself; every account may ask. */
export async function serverFacts(link: Link, signal: AbortSignal): Promise<Record<string, string>> {
  const rows = await link.query<{ Variable_name: string; Value: string }>(signal, ['Variable_name', 'Value'], READ_FACTS)
  return factsOf(Object.fromEntries(rows.map((row) => [row.Variable_name, row.Value])))
}

/** The account that the server matched this login to. */
export async function matchedAccount(link: Link, signal: AbortSignal): Promise<string> {
  const [row] = await link.query<{ matched: string }>(signal, ['matched'], 'SELECT CURRENT_USER() AS matched')
  const matched = row?.matched ?? ''
  const at = matched.lastIndexOf('@')
  return at < 0 ? matched : formatAccount({ user: matched.slice(0, at), host: matched.slice(at + 1) })
}
