import { secretFromEnv } from '../config.ts'
import type { SecretSource } from '../credential/index.ts'
import { LIMITS, RekeyError, Secret } from '../kernel/index.ts'
import { readInput, readRegular, warnIfReadable } from './files.ts'
import type { Output } from './output.ts'
import { askSecret, canAsk } from './prompt.ts'

/** More than this is no secret with a line break. */
const ENOUGH = LIMITS.secretBytes + 2

/**
 * Reads a secret from where the fleet file says. `what` is whose it is, for prompts and errors. Throws `bad_input` if it is not there,
 * is empty or too long, or would have to be asked where nobody can answer.
 */
export async function readSource(source: SecretSource, what: string, out: Output): Promise<Secret> {
  if ('file' in source) return readSecretFile(source.file, what, out, readRegular)
  if ('env' in source) {
    const secret = secretFromEnv(source.env)
    if (secret) return secret
    throw new RekeyError('bad_input', `The secret of ${what} is to come from the variable ${source.env}, which is not set.`)
  }
  if (!canAsk()) {
    throw new RekeyError('bad_input', `The secret of ${what} is to be typed, but there is no terminal.`, {
      hint: 'Run the command in a terminal, or name a file or a variable in the fleet file.',
    })
  }
  return askSecret(`Secret of ${what}`)
}

/**
 * Reads a secret from a file or pipe, or from standard input for `-`. One line break at its end is not part of it. Throws as `readSource`.
 * `read`: `readRegular` for a path that another file names.
 */
export async function readSecretFile(path: string, what: string, out: Output, read = readInput): Promise<Secret> {
  if (path === '-' && canAsk()) {
    throw new RekeyError('bad_input', `The secret of ${what} is to come through a pipe, not to be typed where it is seen.`)
  }
  const { bytes, mode } = await read(path, ENOUGH, `The secret of ${what}`)
  warnIfReadable(`the secret file ${path}`, mode, (text) => out.warn(text))
  const value = withoutBreak(bytes)
  if (value.length === 0) throw new RekeyError('bad_input', `The secret of ${what} is empty: ${path}.`)
  if (value.length > LIMITS.secretBytes) {
    throw new RekeyError('bad_input', `The secret of ${what} is longer than ${LIMITS.secretBytes} bytes: ${path}.`)
  }
  return new Secret(value)
}

function withoutBreak(bytes: Uint8Array): Uint8Array {
  if (bytes.at(-1) !== 0x0a) return bytes
  return bytes.subarray(0, bytes.at(-2) === 0x0d ? -2 : -1)
}
