/** Real systems for the fault tests, each with the laboratory that its connector's own suite uses. */

import type { ContractLab } from '../../src/connectors/contract.kit.ts'
import type { Strategy } from '../../src/connectors/contract.ts'
import { startLab as startMariadb } from '../../src/connectors/mariadb/testing.ts'
import { startLab as startRedis } from '../../src/connectors/redis/testing.ts'
import { newId, Secret } from '../../src/kernel/index.ts'
import { sha256Hex } from '../../src/seal/index.ts'
import { startLab as startPostgres } from '../lab/postgres.contract.ts'
import { findProgram } from '../lab/program.ts'

export type SystemKind = 'postgres' | 'mariadb' | 'redis'

/** One running system. */
export interface Yard {
  readonly kind: SystemKind
  readonly lab: ContractLab
  /** Creates an account with every right, to stand as a root of its own. */
  createRoot(name: string, secret: Secret): Promise<void>
}

/** A connector with one of its strategies; `root`: the system's own root credential. */
export interface Way {
  readonly kind: SystemKind
  readonly strategy: Strategy
  readonly root: boolean
}

export const WAYS: readonly Way[] = [
  { kind: 'postgres', strategy: 'in-place', root: false },
  { kind: 'postgres', strategy: 'alternating', root: false },
  { kind: 'postgres', strategy: 'in-place', root: true },
  { kind: 'mariadb', strategy: 'in-place', root: false },
  { kind: 'mariadb', strategy: 'dual', root: false },
  { kind: 'mariadb', strategy: 'dual', root: true },
  { kind: 'redis', strategy: 'dual', root: false },
  { kind: 'redis', strategy: 'dual', root: true },
]

export function wayName({ kind, strategy, root }: Way): string {
  return `${kind} ${strategy}${root ? ' root' : ''}`
}

const MAKERS: Readonly<Record<SystemKind, () => Promise<Yard>>> = {
  async postgres() {
    const lab = await startPostgres()
    return {
      kind: 'postgres',
      lab,
      async createRoot(name, secret) {
        await lab.createAccount(name, secret)
        await lab.server.query(`ALTER ROLE ${name} SUPERUSER`)
      },
    }
  },
  async mariadb() {
    const lab = await startMariadb()
    return {
      kind: 'mariadb',
      lab,
      async createRoot(name, secret) {
        await lab.createAccount(name, secret)
        await lab.server.query(`GRANT ALL PRIVILEGES ON *.* TO ${name}@'%' WITH GRANT OPTION`)
      },
    }
  },
  async redis() {
    const lab = await startRedis()
    return {
      kind: 'redis',
      lab,
      createRoot: async (name, secret) =>
        void (await lab.server.command('ACL', 'SETUSER', name, 'on', `#${sha256Hex(secret)}`, '~*', '&*', '+@all')),
    }
  },
}
const PROGRAMS: Readonly<Record<SystemKind, string | null>> = { postgres: null, mariadb: 'mariadbd', redis: 'redis-server' }

/** The systems of this machine. One whose program is missing is named and left out, or fails the run under `REKEY_LAB=all`. */
export function availableKinds(): SystemKind[] {
  return (['postgres', 'mariadb', 'redis'] as const).filter((kind) => {
    const program = PROGRAMS[kind]
    if (program === null || findProgram(program) !== null) return true
    if (process.env.REKEY_LAB === 'all') throw new Error(`${kind} is not installed: ${program} is missing`)
    console.warn(`SKIPPED: fault tests of ${kind}, because ${program} is missing`)
    return false
  })
}

export function startYards(kinds: readonly SystemKind[]): Promise<Yard[]> {
  return Promise.all(kinds.map((kind) => MAKERS[kind]()))
}

/** Codes with which each system says that the value is wrong. */
const WRONG_VALUE = /^(28P01|ER_ACCESS_DENIED_ERROR|WRONGPASS)/

/** Whether a login with this value is let in. Throws for anything but a plain yes or no. */
export async function accepts({ lab }: Yard, account: string, secret: Secret): Promise<boolean> {
  try {
    await (await lab.openSession(account, secret, 'check')).close()
    return true
  } catch (error) {
    const { code, message } = error as { code?: string; message?: string }
    if (WRONG_VALUE.test(code ?? '') || WRONG_VALUE.test(message ?? '')) return false
    throw error
  }
}

/** A value as a person would have chosen it before Rekey came. */
export function oldSecret(): Secret {
  return Secret.fromText(`old-${newId()}`)
}
