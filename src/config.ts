import { join, resolve } from 'node:path'
import { counted, parseNetwork, RekeyError, Secret } from './kernel/index.ts'

export type Role = 'server' | 'worker' | 'all'

/** Everything that the environment and the command line decide. Made once, in `loadConfig`. */
export interface Config {
  /** Folder of the embedded database, the keys and the admin token. */
  readonly data: string
  readonly listen: { readonly host: string; readonly port: number }
  /** Whether the command line said where: a worker then opens that port, for its health and figures alone. */
  readonly isListenGiven: boolean
  /** Where browsers find this server, without a path; null: on loopback. */
  readonly publicUrl: string | null
  /** Null: the embedded database in `data`. */
  readonly databaseUrl: string | null
  readonly role: Role
  /** Where the admin token is written at first start. */
  readonly tokenFile: string
  /** Null: key-encryption keys are 0600 files in `data`. */
  readonly passphraseFile: string | null
  readonly shredAfterSeconds: number
  /** From an offboarding to the destruction of credentials that are suspended until then. */
  readonly destroyAfterSeconds: number
  /** The longest life of an API token. */
  readonly tokenMaxSeconds: number
  /** Networks that no system may be in, as `address/prefix`; null for the defaults. */
  readonly refuseNetworks: readonly string[] | null
  /** Networks of the proxies whose word on who is asking counts, as `address/prefix`; none: nobody's. */
  readonly trustProxies: readonly string[]
  readonly logLevel: 'debug' | 'info' | 'warn' | 'error' | 'silent'
}

/** What the command line gives; it wins over the environment. */
export interface Overrides {
  readonly data?: string | undefined
  readonly listen?: string | undefined
  readonly role?: string | undefined
}

type Env = Readonly<Record<string, string | undefined>>
const ROLES: readonly string[] = ['server', 'worker', 'all']
const LEVELS: readonly string[] = ['debug', 'info', 'warn', 'error', 'silent']
const DEFAULT_LISTEN = '127.0.0.1:7395'
const WEEK_SECONDS = 604_800
const QUARTER_SECONDS = 7_776_000
const TOKEN_MOST_SECONDS = 315_360_000

/**
 * Reads the configuration. Throws `config_invalid` with every fault at once.
 * Variables: `REKEY_DATA`, `REKEY_LISTEN`, `DATABASE_URL`, `REKEY_TOKEN_FILE`, `REKEY_PASSPHRASE_FILE`, `REKEY_SHRED_AFTER`,
 * `REKEY_DESTROY_AFTER` and `REKEY_TOKEN_MAX` (seconds), `REKEY_REFUSE_NETWORKS` (`address/prefix`, separated by commas),
 * `REKEY_TRUST_PROXIES` (the same), `REKEY_PUBLIC_URL`, `REKEY_LOG` (level).
 */
export function loadConfig(overrides: Overrides = {}, env: Env = process.env): Config {
  const faults: { message: string; path: string }[] = []
  const fault = (path: string, message: string) => void faults.push({ path, message })
  const data = resolve(overrides.data ?? env.REKEY_DATA ?? '.rekey')
  const listen = parseListen(overrides.listen ?? env.REKEY_LISTEN ?? DEFAULT_LISTEN)
  if (listen === null) fault('REKEY_LISTEN', 'Write HOST:PORT, for example 127.0.0.1:7395 or [::1]:0.')
  const role = overrides.role ?? 'all'
  if (!ROLES.includes(role)) fault('--role', 'The role is server, worker or all.')
  const logLevel = env.REKEY_LOG ?? 'info'
  if (!LEVELS.includes(logLevel)) fault('REKEY_LOG', `The level is one of ${LEVELS.join(', ')}.`)
  const shred = Number(env.REKEY_SHRED_AFTER ?? WEEK_SECONDS)
  if (!Number.isSafeInteger(shred) || shred < 0) fault('REKEY_SHRED_AFTER', 'Write a whole number of seconds, 0 or more.')
  const publicUrl = env.REKEY_PUBLIC_URL || null
  if (publicUrl !== null && !isPublicUrl(publicUrl)) {
    fault('REKEY_PUBLIC_URL', 'Write https:// and the name that browsers use, without a path; http:// for localhost alone.')
  }
  const destroy = Number(env.REKEY_DESTROY_AFTER ?? 0)
  if (!Number.isSafeInteger(destroy) || destroy < 0) fault('REKEY_DESTROY_AFTER', 'Write a whole number of seconds, 0 or more.')
  const tokenMax = Number(env.REKEY_TOKEN_MAX ?? QUARTER_SECONDS)
  if (!Number.isSafeInteger(tokenMax) || tokenMax < 1 || tokenMax > TOKEN_MOST_SECONDS) {
    fault('REKEY_TOKEN_MAX', 'Write a whole number of seconds, 1 or more, at most ten years.')
  }
  const trustProxies = listOf(env.REKEY_TRUST_PROXIES)
  const everybody = (network: string) => network.endsWith('/0')
  if (trustProxies.some((network) => parseNetwork(network) === null || everybody(network))) {
    fault('REKEY_TRUST_PROXIES', 'Write the networks of your proxies as address/prefix, separated by commas, for example 10.0.0.5/32.')
  }
  if (faults.length > 0 || listen === null) {
    const list = faults.map((each) => `${each.path}: ${each.message}`).join(' ')
    throw new RekeyError('config_invalid', `The configuration has ${counted(faults.length, 'fault')}. ${list}`, { faults })
  }
  return {
    data,
    listen,
    isListenGiven: overrides.listen !== undefined,
    publicUrl,
    databaseUrl: env.DATABASE_URL || null,
    role: role as Role,
    tokenFile: resolve(env.REKEY_TOKEN_FILE ?? join(data, 'admin.token')),
    passphraseFile: env.REKEY_PASSPHRASE_FILE ? resolve(env.REKEY_PASSPHRASE_FILE) : null,
    shredAfterSeconds: shred,
    destroyAfterSeconds: destroy,
    tokenMaxSeconds: tokenMax,
    refuseNetworks: env.REKEY_REFUSE_NETWORKS === undefined ? null : listOf(env.REKEY_REFUSE_NETWORKS),
    trustProxies,
    logLevel: logLevel as Config['logLevel'],
  }
}

function listOf(text = ''): string[] {
  return text
    .split(',')
    .map((each) => each.trim())
    .filter(Boolean)
}

/** Sessions and passkeys need TLS, or a browser on this machine. */
function isPublicUrl(text: string): boolean {
  const url = URL.canParse(text) ? new URL(text) : null
  if (url === null || text.replace(/\/$/, '') !== url.origin) return false
  return url.protocol === 'https:' || (url.protocol === 'http:' && url.hostname === 'localhost')
}

/** `127.0.0.1:7395`, `localhost:0`, `[::1]:7395`; null if it is none of these. */
export function parseListen(text: string): Config['listen'] | null {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9.-]+)):(\d{1,5})$/.exec(text)
  const port = Number(match?.[3])
  if (!match || port > 65_535) return null
  return { host: match[1] ?? match[2] ?? '', port }
}

/** What the command line needs to reach a server. */
export interface CliConfig {
  readonly url: string
  readonly tokenFile: string
  /** Also this user (id) may be who listens at a loopback address; null: root, oneself and the owner of the token file only. */
  readonly serverUid: number | null
  readonly data: string
  readonly color: boolean
}

/** Reads `REKEY_URL`, `REKEY_TOKEN_FILE`, `REKEY_SERVER_UID`, `REKEY_DATA`, `REKEY_LISTEN`, `NO_COLOR`. Throws `config_invalid`. */
export function cliConfig(overrides: Pick<Overrides, 'data'> = {}, env: Env = process.env): CliConfig {
  const data = resolve(overrides.data ?? env.REKEY_DATA ?? '.rekey')
  const serverUid = env.REKEY_SERVER_UID || null
  if (serverUid !== null && !/^\d{1,10}$/.test(serverUid)) {
    throw new RekeyError('config_invalid', 'REKEY_SERVER_UID: Write the number of a user, as `id -u USER` shows it.')
  }
  return {
    url: env.REKEY_URL ?? `http://${env.REKEY_LISTEN ?? DEFAULT_LISTEN}`,
    tokenFile: resolve(env.REKEY_TOKEN_FILE ?? join(data, 'admin.token')),
    serverUid: serverUid === null ? null : Number(serverUid),
    data,
    color: !env.NO_COLOR,
  }
}

/** The value of a variable that a fleet file names as the source of a secret. Null if it is not set or empty. */
export function secretFromEnv(name: string, env: Env = process.env): Secret | null {
  const value = env[name]
  return value ? Secret.fromText(value) : null
}
