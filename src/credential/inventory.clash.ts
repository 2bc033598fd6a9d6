import type { RekeyError } from '../kernel/index.ts'
import type { Fleet, Inventory } from './fleet.model.ts'
import type { LinedFleet } from './fleet.parse.ts'
import type { Servers } from './inventory.servers.ts'

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

/**
 * What the file alone cannot show: accounts and files that items hold which are stored and not in the file, and relative paths that
 * turn out to be one file. `kept` are the stored items that stay beside those of the file. Faults have the line of the item in the file.
 *
 * Accounts belong to servers (`servers`), not to systems: what one system rotates, another on that server would be locked out of.
 */
export function collisions(kept: Inventory, { fleet, lines }: LinedFleet, servers: Servers): Faults {
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
    ...roots.map(({ name, root, line }) => ({ system: name, names: [root.account], who: `the root credential of ${name}`, line })),
    ...held.map(({ who, credential, line }) => ({ system: credential.system, names: credential.accounts, who, line })),
  ]
  return [...accountCollisions(accounts, servers), ...fileCollisions(held, fleet, lines)]
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

function fileCollisions(held: readonly Held[], { systems }: Fleet, lines: LinedFleet['lines']): Faults {
  const files = new Map<string, Map<string | null, Holder>>()
  for (const [i, { name, root }] of systems.entries()) {
    if (!('file' in root.secret)) continue
    files.set(root.secret.file, new Map([[null, { who: `the root secret of ${name}`, line: lines.get(`systems[${i}].root.secret`) }]]))
  }
  const users = held.flatMap(({ credential, at }) =>
    credential.consumers.map(({ name, file }, j) => {
      const line = at === null ? undefined : lines.get(`${at}.consumers[${j}].file.path`)
      return { who: `${name} of ${credential.name}`, file, line }
    }),
  )
  return users.flatMap(({ file, ...user }) => {
    if (file === null) return []
    const claims = files.get(file.path) ?? new Map<string | null, Holder>()
    files.set(file.path, claims)
    const other = claims.get(file.key) ?? claims.get(null) ?? (file.key === null ? claims.values().next().value : undefined)
    if (other === undefined) claims.set(file.key, user)
    return other === undefined ? [] : [faultAt(user, other, `The file ${file.path} is already written for ${other.who}.`)]
  })
}
