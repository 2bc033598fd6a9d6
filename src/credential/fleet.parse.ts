import { LIMITS, RekeyError } from '../kernel/index.ts'
import { accountsOf, checkFleet, type FleetOptions } from './fleet.check.ts'
import {
  FLEET_DEFAULTS,
  type Fleet,
  type FleetConsumer,
  type FleetCredential,
  type FleetIdentity,
  type FleetSystem,
} from './fleet.model.ts'
import {
  type ConsumerDraft,
  type CredentialDraft,
  type Found,
  fleetShape,
  type IdentityDraft,
  type SystemDraft,
  tlsOf,
} from './fleet.shape.ts'
import { Faults, openYaml, type Place } from './fleet.yaml.ts'

/** The line of every value of a fleet file, counted from 1, by its path. */
export type Lines = ReadonlyMap<string, number>

/** A fleet file that was read, and the line of each of its values by path. */
export interface LinedFleet {
  readonly fleet: Fleet
  readonly lines: Lines
}

/**
 * Reads and checks a fleet.yaml. Paths stay as written. Throws `fleet_invalid` with every fault and its line (the first 500 of
 * them); syntax faults come alone, since what follows them cannot be trusted. Neither the fleet nor a fault holds a secret.
 */
export function parseFleet(text: string, options: FleetOptions): Fleet {
  return parseWithLines(text, options).fleet
}

/** The same, with the line of every value by its path (`credentials[2].consumers[0].file.path`), for faults that are found later. */
export function parseWithLines(text: string, options: FleetOptions): LinedFleet {
  const faults = new Faults()
  const draft = fleetShape(openYaml(text, faults))
  if (draft) checkFleet(draft, options)
  faults.throwIfAny()
  const lines = new Map<string, number>()
  if (draft) collectLines(draft, lines)
  const fleet = {
    systems: valuesOf(draft?.fields.systems).map((system) => buildSystem(system, options)),
    identities: valuesOf(draft?.fields.identities).map(buildIdentity),
    credentials: valuesOf(draft?.fields.credentials).map(buildCredential),
  }
  return { fleet, lines }
}

/** Walks drafts, lists and what they hold. */
function collectLines(found: unknown, lines: Map<string, number>): void {
  if (Array.isArray(found)) for (const item of found) collectLines(item, lines)
  if (typeof found !== 'object' || found === null) return
  if ('at' in found) {
    const { path, line } = found.at as Place
    lines.set(path, line)
  }
  if ('value' in found) collectLines(found.value, lines)
  if ('fields' in found) for (const field of Object.values(found.fields as object)) collectLines(field, lines)
}

/** The text of the bytes of a fleet.yaml. Throws `fleet_invalid` if they are not UTF-8 or more than `LIMITS.fleetBytes`. */
export function decodeFleet(bytes: Uint8Array): string {
  if (bytes.length > LIMITS.fleetBytes) throw new RekeyError('fleet_invalid', 'The fleet file is too large.')
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    throw new RekeyError('fleet_invalid', 'The fleet file is not valid UTF-8 text.')
  }
}

function buildSystem(draft: SystemDraft, options: FleetOptions): FleetSystem {
  const { name, connector, address, root, limits } = draft.fields
  const { host, port, database, caFile } = must(address).fields
  const { account, secret } = must(root).fields
  return {
    name: must(name),
    connector: must(connector),
    address: {
      host: must(host),
      port: port?.value ?? present(options.knownConnector(must(connector))).defaultPort,
      database: database?.value ?? null,
      tls: present(tlsOf(draft)),
      caFile: caFile?.value ?? null,
    },
    root: { account: must(account), secret: must(secret) },
    limits: { concurrent: limits?.value.fields.concurrent?.value ?? FLEET_DEFAULTS.concurrent },
  }
}

function buildIdentity({ fields }: IdentityDraft): FleetIdentity {
  const { name, kind, owner, purpose, environment } = fields
  return { name: must(name), kind: must(kind), owner: must(owner), purpose: must(purpose), environment: must(environment) }
}

function buildCredential(draft: CredentialDraft): FleetCredential {
  const { name, identity, system, strategy, current, rotate, consumers } = draft.fields
  return {
    name: must(name),
    identity: must(identity),
    system: must(system),
    accounts: accountsOf(draft).map(({ value }) => value),
    strategy: must(strategy),
    current: current?.value ?? null,
    rotate: {
      everySeconds: rotate?.value.fields.every?.value ?? null,
      graceSeconds: rotate?.value.fields.grace?.value ?? FLEET_DEFAULTS.graceSeconds,
    },
    consumers: valuesOf(consumers).map(buildConsumer),
  }
}

function buildConsumer({ fields }: ConsumerDraft): FleetConsumer {
  const { name, identity, file, activation } = fields
  const { path, key } = file?.value.fields ?? {}
  return {
    name: must(name),
    identity: identity?.value ?? null,
    file: path ? { path: path.value, key: key?.value ?? null } : null,
    activation: must(activation),
  }
}

function valuesOf<T>(list: Found<readonly Found<T>[]> | undefined): T[] {
  return list?.value.map(({ value }) => value) ?? []
}

/** A field that the shape requires. It is there, or a fault would have been thrown before. */
function must<T>(found: Found<T> | undefined): T {
  return present(found).value
}

function present<T>(value: T | null | undefined): T {
  if (value === null || value === undefined) throw new RekeyError('internal', 'A required field of the fleet file went missing.')
  return value
}
