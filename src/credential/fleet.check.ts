import { posix } from 'node:path'
import type { Capabilities } from '../connectors/contract.ts'
import { isCode } from '../kernel/index.ts'
import { keysWritten } from './files.ts'
import { type ConsumerDraft, type CredentialDraft, type FleetDraft, type Found, isSocket, type SystemDraft, tlsOf } from './fleet.shape.ts'
import { fault, type Place, quote, subject } from './fleet.yaml.ts'

/** What the file must agree with: the connectors of this program. */
export interface FleetOptions {
  /** What the connector can do; null if there is none by that name. */
  knownConnector(name: string): Capabilities | null
  /** Throws `bad_input`, with a message fit to be shown, if the name cannot be an account under this connector. */
  checkAccount(connector: string, name: string): void
}

interface KnownSystem {
  readonly root: string | undefined
  readonly capabilities: Capabilities | null
}

interface Known {
  readonly options: FleetOptions
  readonly systems: ReadonlyMap<string, KnownSystem>
  readonly identities: ReadonlySet<string>
  /** Where an account was first declared, by system and account. */
  readonly accounts: Map<string, Place>
  /** Who writes a file: `null` for the whole file, else its key. */
  readonly files: Map<string, Map<string | null, Place>>
}

/** Checks what no single value can tell: names used twice, references, what connectors offer. Works on a draft with faults too. */
export function checkFleet({ fields }: FleetDraft, options: FleetOptions): void {
  const systems = fields.systems?.value ?? []
  const identities = fields.identities?.value ?? []
  const credentials = fields.credentials?.value ?? []
  unique('system', systems)
  unique('identity', identities)
  unique('credential', credentials)
  const known: Known = {
    options,
    systems: checkSystems(systems, options),
    identities: new Set(identities.flatMap(({ value }) => value.fields.name?.value ?? [])),
    accounts: new Map(),
    files: new Map(),
  }
  for (const { value } of systems) checkRootFile(value, known)
  for (const { value } of credentials) checkCredential(value, known)
}

/** Every system is checked; of two with one name the first counts, so that the second does not raise faults elsewhere. */
function checkSystems(systems: readonly Found<SystemDraft>[], options: FleetOptions): Map<string, KnownSystem> {
  const known = new Map<string, KnownSystem>()
  for (const { value } of systems) {
    const name = value.fields.name?.value
    const system = checkSystem(value, options)
    if (name !== undefined && !known.has(name)) known.set(name, system)
  }
  return known
}

function unique(what: string, items: readonly { readonly value: { readonly fields: { readonly name?: Found<string> } } }[]): void {
  const seen = new Map<string, number>()
  for (const { value } of items) {
    const { name } = value.fields
    if (!name) continue
    const first = seen.get(name.value)
    if (first === undefined) seen.set(name.value, name.at.line)
    else fault(name.at, `There is another ${what} ${quote(name.value)}, on line ${first}.`)
  }
}

function checkSystem(draft: SystemDraft, options: FleetOptions): KnownSystem {
  const { connector, address, root } = draft.fields
  const capabilities = connector ? options.knownConnector(connector.value) : null
  if (connector && !capabilities) fault(connector.at, `There is no connector ${quote(connector.value)}.`)
  const account = root?.value.fields.account
  if (connector && capabilities && account) checkAccount(connector.value, account, options)
  const { host, tls, caFile } = address?.value.fields ?? {}
  if (tls && tls.value !== 'off' && isSocket(host?.value)) fault(tls.at, 'Over a socket folder there is no TLS: leave "tls" out.')
  if (caFile && tlsOf(draft) === 'off') fault(caFile.at, '"caFile" has no use with tls: off. Say require or verify-full.')
  return { root: account?.value, capabilities }
}

function checkAccount(connector: string, account: Found<string>, options: FleetOptions): void {
  try {
    options.checkAccount(connector, account.value)
  } catch (error) {
    if (!isCode(error, 'bad_input')) throw error
    fault(account.at, `${subject(account.at)} cannot be an account of this system: ${error.message}`)
  }
}

/** A consumer that writes over the file with the root secret of a system would lock Rekey out of it. */
function checkRootFile({ fields }: SystemDraft, known: Known): void {
  const secret = fields.root?.value.fields.secret
  if (secret && 'file' in secret.value) claimFile(known, secret.value.file, null, secret.at, true)
}

function checkCredential(draft: CredentialDraft, known: Known): void {
  const { identity, system, strategy, consumers } = draft.fields
  const { faults } = draft.at.source
  checkIdentity(identity, known)
  const target = system && known.systems.get(system.value)
  if (system && !target) {
    const near = faults.suggest(system.value, [...known.systems.keys()])
    fault(system.at, `The system ${quote(system.value)} is not declared in this file.${near}`)
  }
  const capabilities = target?.capabilities ?? null
  if (strategy && capabilities && !capabilities.strategies.includes(strategy.value)) {
    const offered = capabilities.strategies.join(', ')
    fault(strategy.at, `The connector ${quote(capabilities.connector)} does not offer ${strategy.value}. It offers ${offered}.`)
  }
  checkAccounts(draft, system, target, known)
  unique('consumer of this credential', consumers?.value ?? [])
  for (const { value } of consumers?.value ?? []) {
    checkIdentity(value.fields.identity, known)
    checkConsumerFile(value, known, strategy?.value === 'alternating')
  }
  if (capabilities) checkActivation(draft, capabilities)
}

function checkIdentity(identity: Found<string> | undefined, { identities }: Known): void {
  if (identity === undefined || identities.has(identity.value)) return
  const near = identity.at.source.faults.suggest(identity.value, [...identities])
  fault(identity.at, `The identity ${quote(identity.value)} is not declared in this file.${near}`)
}

/** The accounts of a credential as far as they can be read, the one in use first. */
export function accountsOf({ fields }: CredentialDraft): readonly Found<string>[] {
  return fields.account ? [fields.account] : (fields.accounts?.value ?? [])
}

function checkAccounts(draft: CredentialDraft, system: Found<string> | undefined, target: KnownSystem | undefined, known: Known): void {
  const { at, fields } = draft
  const wrong = wrongAccounts(draft)
  if (wrong !== null) fault(fields.accounts?.at ?? at, wrong)
  for (const account of accountsOf(draft)) {
    if (target?.capabilities) checkAccount(target.capabilities.connector, account, known.options)
    if (!system) continue
    if (account.value === target?.root) {
      fault(account.at, `${quote(account.value)} is the root account of the system. Rekey rotates it with: rekey system rotate-root.`)
    }
    const key = JSON.stringify([system.value, account.value])
    const first = known.accounts.get(key)
    if (first) fault(account.at, `The account ${quote(account.value)} of this system is already declared on line ${first.line}.`)
    else known.accounts.set(key, account.at)
  }
}

/** What is wrong with the number of accounts: two with alternating, otherwise one. */
function wrongAccounts({ given, fields }: CredentialDraft): string | null {
  const strategy = fields.strategy?.value
  const [one, two] = [given.has('account'), given.has('accounts')]
  if (one && two) return 'Give either "account" or "accounts", not both.'
  if (!one && !two && !strategy) return '"account" is missing.'
  if (!two && strategy === 'alternating') return '"accounts" is missing: alternating needs two, as in [orders_a, orders_b].'
  if (!one && strategy && strategy !== 'alternating') return `"account" is missing: ${strategy} works on one account.`
  return fields.accounts && countOf(fields.accounts.at) !== 2 ? '"accounts" must name exactly two accounts.' : null
}

function countOf(at: Place): number {
  return (at.node as { items: readonly unknown[] }).items.length
}

function checkConsumerFile({ fields }: ConsumerDraft, known: Known, alternating: boolean): void {
  const file = fields.file?.value
  if (!file?.fields.path || (file.given.has('key') && !file.fields.key)) return
  const { path, key } = file.fields
  for (const written of keysWritten(key?.value ?? null, alternating)) claimFile(known, path.value, written, path.at, false)
}

/** One writer for each key of a file, and none beside a writer of the whole file. Root secrets are read only, so many may share one. */
function claimFile(known: Known, path: string, key: string | null, at: Place, root: boolean): void {
  const normal = posix.normalize(path)
  const claims = known.files.get(normal) ?? new Map<string | null, Place>()
  known.files.set(normal, claims)
  const other = claims.get(key) ?? claims.get(null) ?? (key === null ? claims.values().next().value : undefined)
  if (!other) claims.set(key, at)
  else if (!root) {
    const what = key !== null && claims.has(key) ? `The key ${quote(key)} of this file` : 'This file'
    fault(at, `${what} is already used on line ${other.line}: one would overwrite the other. Leave "file" out of one of them.`)
  }
}

function checkActivation({ fields }: CredentialDraft, capabilities: Capabilities): void {
  const strategy = fields.strategy?.value
  const watched = (fields.consumers?.value ?? []).flatMap(({ value }) => {
    const { activation } = value.fields
    return activation?.value === 'session' ? [activation] : []
  })
  if (strategy && capabilities.strategies.includes(strategy) && !capabilities.sessionTellsVersion.includes(strategy)) {
    for (const { at } of watched) {
      fault(at, `A session on ${capabilities.connector} does not tell the new value from the old under ${strategy}: use report.`)
    }
  } else if (!capabilities.sessionNamesConsumer) {
    for (const { at } of watched.slice(1)) {
      fault(
        at,
        `A session on ${capabilities.connector} does not tell whose it is: only one consumer of a credential can use session. Use report.`,
      )
    }
  }
}
