import { join, resolve } from 'node:path'
import { counted, RekeyError, Secret } from './kernel/index.ts'

export type Role = 'server' | 'worker' | 'all'

/** Everything that the environment and the command line decide. Made once, in `loadConfig`. */
export interface Config {
  /** Folder of the embedded database, the keys and the admin token. */
  readonly data: string
  readonly listen: { readonly host: string; readonly port: number }
  /** Null: the embedded database in `data`. */
  readonly databaseUrl: string | null
  readonly role: Role
  /** Where the admin token is written at first start. */
  readonly tokenFile: string
  /** Null: key-encryption keys are 0600 files in `data`. */
  readonly passphraseFile: string | null
  readonly shredAfterSeconds: number
  /** Networks that no system may be in, as `address/prefix`; null for the defaults. */
  readonly refuseNetworks: readonly string[] | null
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

/**
 * Reads the configuration. Throws `config_invalid` with every fault at once.
 * Variables: `REKEY_DATA`, `REKEY_LISTEN`, `DATABASE_URL`, `REKEY_TOKEN_FILE`, `REKEY_PASSPHRASE_FILE`, `REKEY_SHRED_AFTER` (seconds),
 * `REKEY_REFUSE_NETWORKS` (`address/prefix`, separated by commas), `REKEY_LOG` (level).
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
  if (faults.length > 0 || listen === null) {
    const list = faults.map((each) => `${each.path}: ${each.message}`).join(' ')
    throw new RekeyError('config_invalid', `The configuration has ${counted(faults.length, 'fault')}. ${list}`, { faults })
  }
  return {
    data,
    listen,
    databaseUrl: env.DATABASE_URL || null,
    role: role as Role,
    tokenFile: resolve(env.REKEY_TOKEN_FILE ?? join(data, 'admin.token')),
    passphraseFile: env.REKEY_PASSPHRASE_FILE ? resolve(env.REKEY_PASSPHRASE_FILE) : null,
    shredAfterSeconds: shred,
    refuseNetworks:
      env.REKEY_REFUSE_NETWORKS === undefined
        ? null
        : env.REKEY_REFUSE_NETWORKS.split(',')
            .map((each) => each.trim())
            .filter(Boolean),
    logLevel: logLevel as Config['logLevel'],
  }
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
  readonly data: string
  readonly color: boolean
}

/** Reads `REKEY_URL`, `REKEY_TOKEN_FILE`, `REKEY_DATA`, `REKEY_LISTEN`, `NO_COLOR`. */
export function cliConfig(overrides: Pick<Overrides, 'data'> = {}, env: Env = process.env): CliConfig {
  const data = resolve(overrides.data ?? env.REKEY_DATA ?? '.rekey')
  return {
    url: env.REKEY_URL ?? `http://${env.REKEY_LISTEN ?? DEFAULT_LISTEN}`,
    tokenFile: resolve(env.REKEY_TOKEN_FILE ?? join(data, 'admin.token')),
    data,
    color: !env.NO_COLOR,
  }
}

/** The value of a variable that a fleet file names as the source of a secret. Null if it is not set or empty. */
export function secretFromEnv(name: string, env: Env = process.env): Secret | null {
  const value = env[name]
  return value ? Secret.fromText(value) : null
}
