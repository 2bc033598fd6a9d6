import { argon2, randomBytes } from 'node:crypto'
import { RekeyError, type Secret } from '../kernel/index.ts'
import { taken } from './envelope.ts'

/** RFC 9106 section 4, second recommended option: 64 MiB, 3 passes, 4 lanes. */
export interface PassphraseCost {
  readonly salt: string
  readonly memoryKiB: number
  readonly passes: number
  readonly lanes: number
}

/** A fresh 128-bit salt (base64) with the recommended cost. */
export function newPassphraseCost(): PassphraseCost {
  return { salt: randomBytes(16).toString('base64'), memoryKiB: 65_536, passes: 3, lanes: 4 }
}

/** The 256-bit key of a passphrase by argon2id (RFC 9106). Takes about a fifth of a second and `memoryKiB` of memory, on purpose. */
export function keyFromPassphrase(passphrase: Secret, cost: PassphraseCost): Promise<Secret> {
  return passphrase.reveal(
    (message) =>
      new Promise((resolve, reject) => {
        const parameters = {
          message,
          nonce: Buffer.from(cost.salt, 'base64'),
          parallelism: cost.lanes,
          memory: cost.memoryKiB,
          passes: cost.passes,
          tagLength: 32,
        }
        argon2('argon2id', parameters, (error, key) => {
          if (error) reject(new RekeyError('kek_unavailable', 'argon2id failed.', { cause: error }))
          else resolve(taken(key))
        })
      }),
  )
}
