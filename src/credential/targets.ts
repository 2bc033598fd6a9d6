import type { Connector, ServerIdentity, SystemSpec, Target } from '../connectors/contract.ts'
import { AddressGuard, type Ctx, LIMITS, RekeyError } from '../kernel/index.ts'
import type { Keyring } from '../keys/index.ts'
import { open } from '../seal/index.ts'
import type { Sql } from '../store/index.ts'
import type { Work } from './rotation.store.ts'
import { knownOf, type StoredServer } from './server.model.ts'

/** What binds a credential's wrapped data key to its row. */
export function dataKeyBound(credentialId: string): string {
  return `credential ${credentialId} data key`
}

/** What binds a version's ciphertext to its row. */
export function versionBound(credentialId: string, versionId: string): string {
  return `credential ${credentialId} version ${versionId}`
}

interface Entry {
  readonly target: Target
  readonly connector: Connector
  readonly where: string
  server: StoredServer | null
  with: string
}

/** What a way is opened with, beside its place: the root values, and the server that alone may be driven. */
function withOf(root: Work['root'], server: StoredServer | null): string {
  return JSON.stringify([root.versions.map((version) => version.id), server])
}

/** Open ways to systems, kept between rotations: one per system, so that connections are few and none is left behind. */
export class Targets {
  readonly #entries = new Map<string, Entry>()
  readonly #connectorFor: (name: string) => Connector
  readonly #keyring: Keyring
  readonly #callMs: number

  readonly #guard: AddressGuard

  /** `callMs`: deadline of one call to a target, milliseconds; fault tests make it short. `guard`: which addresses are allowed. */
  constructor(connectorFor: (name: string) => Connector, keyring: Keyring, options: { callMs?: number; guard?: AddressGuard } = {}) {
    this.#connectorFor = connectorFor
    this.#keyring = keyring
    this.#callMs = options.callMs ?? LIMITS.targetCallMs
    this.#guard = options.guard ?? new AddressGuard()
  }

  connectorFor(name: string): Connector {
    return this.#connectorFor(name)
  }

  /** The target of a system, opened or brought up to date with its present address and root secret. */
  async of(sql: Sql, system: Work['system'], root: Work['root']): Promise<Target> {
    const where = JSON.stringify([system.connector, system.address, system.rootAccount, system.concurrent, system.epoch])
    const known = this.#entries.get(system.id)
    // Work that was loaded before the server was met must not open the way to any other again.
    const server = system.server ?? (known?.where === where ? known.server : null)
    const opened = withOf(root, server)
    if (known?.where === where && known.with === opened) return known.target
    const spec = await this.#spec(sql, { ...system, server }, root)
    // Another rotation may have opened the way meanwhile: a second one would have connections that nobody counts or closes.
    const entry = this.#entries.get(system.id)
    if (entry?.where === where) {
      if (entry.with === opened) return entry.target
      entry.with = opened
      entry.server = server
      await entry.target.forgetRoot(spec)
      return entry.target
    }
    const connector = this.#connectorFor(system.connector)
    const target = connector.open(spec)
    this.#entries.set(system.id, { target, connector, where, server, with: opened })
    if (entry) void entry.target.close()
    return target
  }

  /** Makes the target log in anew with the root secret that works now. */
  async renew(sql: Sql, system: Work['system'], root: Work['root']): Promise<void> {
    const entry = this.#entries.get(system.id)
    if (entry === undefined) return
    const server = system.server ?? entry.server
    entry.with = withOf(root, server)
    await entry.target.forgetRoot(await this.#spec(sql, { ...system, server }, root))
  }

  /** Which server answers for a system at this moment, whatever is on record of it. The way is closed again. */
  async look(sql: Sql, ctx: Ctx, system: Work['system'], root: Work['root']): Promise<ServerIdentity> {
    const target = this.#connectorFor(system.connector).open(await this.#spec(sql, { ...system, server: null }, root))
    return target.identify(ctx).finally(() => target.close())
  }

  async #spec(sql: Sql, system: Work['system'], root: Work['root']): Promise<SystemSpec> {
    await this.#guard.check(system.address.host)
    if (root.versions.length === 0) throw new RekeyError('target_not_authorised', `No root secret is held for ${system.name}.`)
    const key = await this.#keyring.unwrap(sql, root.kekId, root.wrappedKey, dataKeyBound(root.credentialId))
    return {
      name: system.name,
      server: knownOf(system.server, system.seenAgo),
      address: system.address,
      rootAccount: system.rootAccount,
      rootSecrets: root.versions.map(({ id, sealed }) => open(key, sealed, versionBound(root.credentialId, id))),
      timeoutMs: this.#callMs,
      concurrent: system.concurrent,
    }
  }

  async close(_ctx: Ctx): Promise<void> {
    const entries = [...this.#entries.values()]
    this.#entries.clear()
    await Promise.allSettled(entries.map((entry) => entry.target.close()))
  }
}
