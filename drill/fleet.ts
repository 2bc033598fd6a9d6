import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { stringify } from 'yaml'
import type { Secret } from '../src/kernel/index.ts'
import type { ConsumerPlan } from './messages.ts'
import { accountsOf, credentialOf, SERVICES, type Service, type SystemName } from './services.ts'
import type { System } from './systems.ts'

const EVERY_MS = 50
/** A login costs some twenty times a request. */
const SCRIPT_EVERY_MS = 250
/** Calls to a system at once. On two cores 8 were no faster, and made the in-place gap three times as long: each waits for the others. */
const CONCURRENT = 2
const ONLY_ME = 0o600

/** The fleet as files: what Rekey is told, what consumers read, and the copy of it all that leaks. */
export interface Fleet {
  readonly fleetFile: string
  /** `NAME=URL with the value`, one line for each credential that leaks. */
  readonly leakedFile: string
  /** Names of the credentials in it. */
  readonly leaked: readonly string[]
  readonly credentials: readonly string[]
  readonly consumers: readonly ConsumerPlan[]
}

/** The services that live on these systems. */
export function servicesOf(system: SystemName): readonly Service[] {
  return SERVICES.filter((service) => service.system === system)
}

/** Writes all files of the fleet below `folder`; those with secrets are 0600. */
export function writeFleet(folder: string, systems: readonly System[]): Fleet {
  const here = systems.flatMap((system) => servicesOf(system.name).map((service) => ({ system, service, secret: inUse(system, service) })))
  for (const name of ['roots', 'current', 'consumers']) mkdirSync(join(folder, name), { mode: 0o700 })
  for (const { name, root } of systems) writeSecret(join(folder, 'roots', name), root.secret)
  for (const { service, secret } of here) writeSecret(join(folder, 'current', service.name), secret)
  writeConsumerFiles(folder, here)
  const leaking = here.filter(({ service }) => service.leaks)
  const leakedFile = join(folder, 'leaked-store.env')
  writeFileSync(leakedFile, leaking.map(({ system, service, secret }) => `${leakedLine(system, service, secret)}\n`).join(''), {
    mode: ONLY_ME,
  })
  const fleetFile = join(folder, 'fleet.yaml')
  writeFileSync(
    fleetFile,
    stringify(
      declaration(
        folder,
        systems,
        here.map(({ service }) => service),
      ),
    ),
  )
  return {
    fleetFile,
    leakedFile,
    leaked: leaking.map(({ service }) => credentialOf(service)),
    credentials: here.map(({ service }) => credentialOf(service)),
    consumers: here.flatMap(({ system, service }) => plansOf(folder, system, service)),
  }
}

function inUse(system: System, { name }: Service): Secret {
  const secret = system.secrets.get(name)
  if (secret === undefined) throw new Error(`${name} has no value.`)
  return secret
}

function writeSecret(path: string, secret: Secret): void {
  secret.revealText((text) => writeFileSync(path, `${text}\n`, { mode: ONLY_ME }))
}

/** MariaDB's consumers read a whole file, the others a line of an .env file, some of one that they share. */
function fileOf(folder: string, { name, system, shares }: Service): { path: string; key: string | null } {
  const at = (file: string) => join(folder, 'consumers', file)
  if (system === 'catalog-db') return { path: at(`${name}.secret`), key: null }
  const what = system === 'cache' ? 'CACHE_PASSWORD' : 'DB_PASSWORD'
  if (shares === null) return { path: at(`${name}.env`), key: what }
  return { path: at(`${shares}.env`), key: `${name.replaceAll('-', '_').toUpperCase()}_${what}` }
}

function writeConsumerFiles(folder: string, here: readonly { service: Service; secret: Secret }[]): void {
  const files = Map.groupBy(here, ({ service }) => fileOf(folder, service).path)
  for (const [path, own] of files) {
    const lines = own.map(({ service, secret }) => {
      const { key } = fileOf(folder, service)
      return secret.revealText((text) => `${key === null ? '' : `${key}=`}${text}\n`)
    })
    writeFileSync(path, lines.join(''), { mode: ONLY_ME })
  }
}

function leakedLine({ connector, host, port, database }: System, service: Service, secret: Secret): string {
  const [account = ''] = accountsOf(service)
  const name = service.name.replaceAll('-', '_').toUpperCase()
  return secret.revealText((text) => `${name}_URL=${connector}://${account}:${text}@${host}:${port}/${database ?? ''}`)
}

function consumersOf({ name, consumers }: Service): readonly string[] {
  return Array.from({ length: consumers }, (_, index) => `${name}-${index + 1}`)
}

/** Whether consumers of the service are seen on the system with the new value, or must say so themselves. */
function activationOf({ strategy, script }: Service): 'session' | 'report' | 'none' {
  // Nobody can wait for a script that runs now and then.
  if (script) return 'none'
  return strategy === 'dual' ? 'report' : 'session'
}

function declaration(folder: string, systems: readonly System[], services: readonly Service[]): object {
  return {
    version: 1,
    systems: systems.map(({ name, connector, host, port, database, root }) => ({
      name,
      connector,
      address: { host, port, ...(database === null ? {} : { database }), tls: 'off' },
      root: { account: root.account, secret: { file: join(folder, 'roots', name) } },
      limits: { concurrent: CONCURRENT },
    })),
    identities: services.map(({ name, kind, owner, purpose }) => ({ name, kind, owner, purpose, environment: 'drill' })),
    credentials: services.map((service) => ({
      name: credentialOf(service),
      identity: service.name,
      system: service.system,
      ...accountKeys(accountsOf(service)),
      strategy: service.strategy,
      current: { file: join(folder, 'current', service.name) },
      rotate: { every: '30d' },
      consumers: consumersOf(service).map((name, index) => ({
        name,
        // A file has one writer; the second process reads the same one.
        ...(index === 0 ? { file: declaredFile(fileOf(folder, service)) } : {}),
        activation: activationOf(service),
      })),
    })),
  }
}

function accountKeys(accounts: readonly string[]): object {
  return accounts.length === 1 ? { account: accounts[0] } : { accounts }
}

function declaredFile({ path, key }: { path: string; key: string | null }): object {
  return key === null ? { path } : { path, key }
}

function plansOf(folder: string, system: System, service: Service): ConsumerPlan[] {
  const { connector: kind, host, port, database } = system
  return consumersOf(service).map((consumer) => ({
    credential: credentialOf(service),
    consumer,
    login: { kind, host, port, database: database ?? '', client: consumer },
    accounts: accountsOf(service),
    file: fileOf(folder, service),
    request: system.request(service),
    everyMs: service.script ? SCRIPT_EVERY_MS : EVERY_MS,
    script: service.script,
    reports: activationOf(service) === 'report',
  }))
}
