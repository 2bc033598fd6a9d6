import type { Strategy } from '../connectors/contract.ts'

/**
 * How the way to a system is protected. `require` encrypts, and with an authority checks the certificate; `verify-full` also checks the
 * host name in it.
 */
export type TlsMode = 'off' | 'require' | 'verify-full'

export type IdentityKind = 'human' | 'workload' | 'machine' | 'agent'

/** How a consumer shows that it uses the new value: a session seen on the system, its own report, or not at all. */
export type Activation = 'session' | 'report' | 'none'

/** Where a secret value is read from when it is declared. Never the value itself. */
export type SecretSource = { readonly file: string } | { readonly env: string } | { readonly prompt: true }

/** A system as declared, defaults filled in. */
export interface FleetSystem {
  readonly name: string
  readonly connector: string
  readonly address: {
    readonly host: string
    readonly port: number
    readonly database: string | null
    readonly tls: TlsMode
    /** PEM file of the certificate authority; null: the authorities that the machine trusts. */
    readonly caFile: string | null
  }
  readonly root: { readonly account: string; readonly secret: SecretSource }
  readonly limits: { readonly concurrent: number }
}

/** Who or what uses credentials, as declared. */
export interface FleetIdentity {
  readonly name: string
  readonly kind: IdentityKind
  readonly owner: string
  readonly purpose: string
  readonly environment: string
}

/** One user of a credential, as declared. */
export interface FleetConsumer {
  readonly name: string
  /** The identity whose it is; null: its name decides (`whoseConsumer`). */
  readonly identity: string | null
  /** The file it reads; `key` null: the whole file is the value. Null: it reads the value elsewhere. */
  readonly file: { readonly path: string; readonly key: string | null } | null
  readonly activation: Activation
}

/** A credential as declared, defaults filled in. */
export interface FleetCredential {
  readonly name: string
  readonly identity: string
  readonly system: string
  /** One account; two with `alternating`, the one in use at declaration first. */
  readonly accounts: readonly string[]
  readonly strategy: Strategy
  /** Where the value in use now is read from; null: unknown, so that the first rotation is a takeover. */
  readonly current: SecretSource | null
  /** `everySeconds` null: rotated only when asked. `graceSeconds`: how long the old lives on after activation. */
  readonly rotate: { readonly everySeconds: number | null; readonly graceSeconds: number }
  readonly consumers: readonly FleetConsumer[]
}

/** A whole fleet.yaml: every default resolved, every reference checked, no secret in it. Items stand in the order of the file. */
export interface Fleet {
  readonly systems: readonly FleetSystem[]
  readonly identities: readonly FleetIdentity[]
  readonly credentials: readonly FleetCredential[]
}

/**
 * What the store holds, in the words of the file. Secret sources are not part of it: a source is read once, when a first version
 * is declared, and means nothing afterwards. A `Fleet` is an inventory in which nothing is live.
 */
export interface Inventory {
  readonly systems: readonly (Omit<FleetSystem, 'root'> & { readonly root: { readonly account: string } })[]
  readonly identities: readonly FleetIdentity[]
  readonly credentials: readonly (Omit<FleetCredential, 'current'> & {
    /** True if any version of it may still be accepted by its system. */
    readonly live?: boolean
    /** Accounts that must stay while it is live: a value may be accepted there. Left out: all of them. */
    readonly held?: readonly string[]
  })[]
}

/** Values that a declaration gets when it says nothing. */
export const FLEET_DEFAULTS = { tls: 'verify-full', concurrent: 8, graceSeconds: 0 } as const

/** Applies `to` to every path of the fleet (authority files, secret files, consumer files), for example to make them absolute. */
export function mapPaths(fleet: Fleet, to: (path: string) => string): Fleet {
  const source = (secret: SecretSource): SecretSource => ('file' in secret ? { file: to(secret.file) } : secret)
  return {
    systems: fleet.systems.map((system) => ({
      ...system,
      address: { ...system.address, caFile: system.address.caFile === null ? null : to(system.address.caFile) },
      root: { ...system.root, secret: source(system.root.secret) },
    })),
    identities: fleet.identities,
    credentials: fleet.credentials.map((credential) => ({
      ...credential,
      current: credential.current && source(credential.current),
      consumers: credential.consumers.map((consumer) => ({
        ...consumer,
        file: consumer.file && { ...consumer.file, path: to(consumer.file.path) },
      })),
    })),
  }
}

const UNITS = { w: 604_800, d: 86_400, h: 3600, m: 60, s: 1 } as const

/** Seconds of a duration as the file writes it: a whole number and one unit (`30s 10m 12h 30d 2w`). Null if it is not one. */
export function parseDuration(text: string): number | null {
  const match = /^(\d{1,9})([smhdw])$/.exec(text)
  if (!match) return null
  return Number(match[1]) * UNITS[match[2] as keyof typeof UNITS]
}

/** The duration as the file writes it, in the largest unit that divides it. `parseDuration` gives the same seconds back. */
export function formatDuration(seconds: number): string {
  if (seconds === 0) return '0s'
  for (const [unit, size] of Object.entries(UNITS)) if (seconds % size === 0) return `${seconds / size}${unit}`
  return `${seconds}s`
}
