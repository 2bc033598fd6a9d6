import type { RekeyError } from '../kernel/index.ts'
import { placeId } from './files.own.ts'
import { keysWritten } from './files.ts'
import type { Fleet, Inventory } from './fleet.model.ts'
import type { LinedFleet } from './fleet.parse.ts'
import type { MetSystem, Servers } from './inventory.servers.ts'

type Faults = NonNullable<RekeyError['faults']>

/** Who holds an account or a file, for people, and where the file says so; no line: it is stored and not in the file. */
interface Holder {
  readonly who: string
  readonly line: number | undefined
}

interface Held extends Holder {
  readonly credential: Inventory['credentials'][number]
  /** Its place in the file; null: it is stored and not in the file. */
  readonly at: string | null
}

/** What is known beside the file: servers, what they said of themselves, and which file each path leads to. */
interface Known {
  readonly servers: Servers
  readonly met: ReadonlyMap<string, MetSystem>
  readonly places: ReadonlyMap<string, string>
}

/**
 * What the file alone cannot show: accounts and files that items hold which are stored and not in the file, and relative paths that
 * turn out to be one file, by `places` (`placesOf`) however they are reached. `kept` are the stored items that stay beside those of the
 * file. Faults have the line of the item in the file.
 *
 * Accounts belong to servers (`servers`), not to systems: what one system rotates, another on that server would be locked out of. As
 * which account a server takes root is that root's account too.
 */
export function collisions(kept: Inventory, { fleet, lines }: LinedFleet, { servers, met, places }: Known): Faults {
  const held = [
    ...fleet.credentials.map((credential, i): Held => ({ who: credential.name, credential, ...placeOf(`credentials[${i}]`) })),
    ...kept.credentials.map((credential): Held => ({ who: credential.name, credential, at: null, line: undefined })),
  ]
  function placeOf(at: string): { at: string; line: number | undefined } {
    return { at, line: lines.get(`${at}.account`) ?? lines.get(`${at}.accounts`) }
  }
  const roots = [
    ...fleet.systems.map(({ name, root }, i) => ({ name, root, line: lines.get(`systems[${i}].root.account`) })),
    ...kept.systems.map(({ name, root }) => ({ name, root, line: undefined })),
  ]
  const accounts = [
    ...roots.map(({ name, root, line }) => ({
      system: name,
      names: [root.account, ...[met.get(name)?.rootMatched ?? []].flat()],
      who: `the root credential of ${name}`,
      line,
    })),
    ...held.map(({ who, credential, line }) => ({ system: credential.system, names: credential.accounts, who, line })),
  ]
  return [...accountCollisions(accounts, servers), ...fileCollisions(held, kept, { fleet, lines }, places)]
}

/** Which file each path of a consumer, a root secret or a certificate authority leads to on this machine, by path. */
export async function placesOf(kept: Inventory, fleet: Fleet): Promise<Map<string, string>> {
  const roots = fleet.systems.flatMap(({ root }) => ('file' in root.secret ? [root.secret.file] : []))
  const authorities = [...kept.systems, ...fleet.systems].flatMap(({ address }) => address.caFile ?? [])
  const consumers = [...kept.credentials, ...fleet.credentials].flatMap((credential) => credential.consumers)
  const paths = new Set([...roots, ...authorities, ...consumers.flatMap(({ file }) => (file === null ? [] : [file.path]))])
  return new Map(await Promise.all([...paths].map(async (path) => [path, await placeId(path)] as const)))
}

/** A fault at the later holder; its line, or that of the first if only that one is in the file. */
function faultAt(later: Holder, first: Holder, message: string): Faults[number] {
  const line = later.line ?? first.line
  return { path: later.who, message, ...(line === undefined ? {} : { line }) }
}

interface AccountHolder extends Holder {
  readonly system: string
  readonly names: readonly string[]
}

function accountCollisions(holders: readonly AccountHolder[], servers: Servers): Faults {
  const accounts = new Map<string, AccountHolder>()
  return holders.flatMap((holder) =>
    holder.names.flatMap((account) => {
      const keys = (servers.get(holder.system) ?? [holder.system]).map((server) => JSON.stringify([server, account]))
      const other = keys.flatMap((key) => accounts.get(key) ?? [])[0]
      for (const key of keys) if (!accounts.has(key)) accounts.set(key, holder)
      if (other === undefined) return []
      const why = other.system === holder.system ? '.' : ': both systems are on one server.'
      return [faultAt(holder, other, `The account "${account}" of ${holder.system} is that of ${other.who} already${why}`)]
    }),
  )
}

function fileCollisions(
  held: readonly Held[],
  kept: Inventory,
  { fleet: { systems }, lines }: LinedFleet,
  places: ReadonlyMap<string, string>,
): Faults {
  const placeOf = (path: string) => places.get(path) ?? path
  const files = new Map<string, Map<string | null, Holder>>()
  for (const [i, { name, root }] of systems.entries()) {
    if (!('file' in root.secret)) continue
    files.set(
      placeOf(root.secret.file),
      new Map([[null, { who: `the root secret of ${name}`, line: lines.get(`systems[${i}].root.secret`) }]]),
    )
  }
  for (const [i, { name, address }] of [...systems, ...kept.systems].entries()) {
    if (address.caFile === null) continue
    const line = lines.get(`systems[${i}].address.caFile`)
    files.set(placeOf(address.caFile), new Map([[null, { who: `the certificate authority of ${name}`, line }]]))
  }
  const users = held.flatMap(({ credential, at }) =>
    credential.consumers.map(({ name, file }, j) => {
      const line = at === null ? undefined : lines.get(`${at}.consumers[${j}].file.path`)
      return { who: `${name} of ${credential.name}`, file, line, alternating: credential.strategy === 'alternating' }
    }),
  )
  return users.flatMap(({ file, alternating, ...user }) => {
    if (file === null) return []
    const claims = files.get(placeOf(file.path)) ?? new Map<string | null, Holder>()
    files.set(placeOf(file.path), claims)
    for (const key of keysWritten(file.key, alternating)) {
      const other = claims.get(key) ?? claims.get(null) ?? (key === null ? claims.values().next().value : undefined)
      if (other !== undefined) return [faultAt(user, other, `The file ${file.path} is already written for ${other.who}.`)]
      claims.set(key, user)
    }
    return []
  })
}
