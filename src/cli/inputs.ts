import { resolve } from 'node:path'
import { isMap, isNode, isScalar, isSeq, LineCounter, parseDocument, type YAMLMap } from 'yaml'
import { faultOfSecret, type SecretSource } from '../credential/index.ts'
import { isCode, RekeyError, type Secret } from '../kernel/index.ts'
import { readRegular } from './files.ts'
import type { Output } from './output.ts'
import { canAsk } from './prompt.ts'
import { readSource } from './secrets.ts'

/** What the server takes of one. */
const AUTHORITY_BYTES = 1024 * 1024

/** A secret that applying needs: `for` is `system:NAME` or `credential:NAME`. */
export interface Needed {
  readonly for: string
  readonly source: SecretSource
}

/** What a fleet file names and applying sends: secrets in base64 by whose they are, PEM text by path. */
export interface Inputs {
  readonly secrets: Record<string, string>
  readonly authorities: Record<string, string>
}

/** A fleet file: its name for faults, its text, and the absolute folder that its relative paths start from. */
export interface FleetSource {
  readonly file: string
  readonly folder: string
  readonly text: string
}

/**
 * Reads everything that applying needs and that is not typed. Throws `bad_input` with a fault for each that is missing or unusable,
 * with its line, so that none is found only when the one before it is mended; one that is to be typed where nobody can is among them,
 * unless it is only `looking`.
 */
export async function readInputs(
  fleet: FleetSource,
  needed: readonly Needed[],
  authorities: readonly string[],
  { out, looking }: { readonly out: Output; readonly looking: boolean },
): Promise<Inputs> {
  const found = new Faults(fleet)
  const inputs: Inputs = { secrets: {}, authorities: {} }
  for (const one of needed) {
    if ('prompt' in one.source && (looking || canAsk())) continue
    const secret = await found.orNull(one.for, readUsable(one, out))
    if (secret !== null) inputs.secrets[one.for] = base64(secret)
  }
  for (const path of authorities) {
    const text = await found.orNull(`ca:${path}`, readAuthority(path))
    if (text !== null) inputs.authorities[path] = text
  }
  found.throwAny()
  return inputs
}

/** What cannot be read, each with its line. */
class Faults {
  readonly #file: string
  readonly #lines: ReadonlyMap<string, number>
  readonly #all: NonNullable<RekeyError['faults']>[number][] = []

  constructor(fleet: FleetSource) {
    this.#file = fleet.file
    this.#lines = linesOf(fleet)
  }

  /** What was read, or null and a fault at the line of `key`. */
  async orNull<T>(key: string, reading: Promise<T>): Promise<T | null> {
    try {
      return await reading
    } catch (error) {
      if (!isCode(error, 'bad_input') && !isCode(error, 'too_large')) throw error
      const line = this.#lines.get(key)
      this.#all.push({ path: this.#file, message: error.message, ...(line === undefined ? {} : { line }) })
      return null
    }
  }

  throwAny(): void {
    if (this.#all.length === 0) return
    throw new RekeyError('bad_input', 'What the fleet file names cannot be read; nothing was applied.', {
      faults: this.#all.sort((a, b) => (a.line ?? 0) - (b.line ?? 0)),
      hint: 'Put each where the file says, or correct the file.',
    })
  }
}

/** Asks for what must be typed, in the order of the file. Throws `bad_input` where nobody can answer. */
export async function askSecrets(needed: readonly Needed[], out: Output): Promise<Record<string, string>> {
  const secrets: Record<string, string> = {}
  for (const one of needed) if ('prompt' in one.source) secrets[one.for] = base64(await readUsable(one, out))
  return secrets
}

async function readUsable({ for: whose, source }: Needed, out: Output): Promise<Secret> {
  const what = whose.replace(':', ' ')
  const secret = await readSource(source, what, out)
  const fault = faultOfSecret(secret)
  if (fault !== null) throw new RekeyError('bad_input', `The secret of ${what} ${fault}.`)
  return secret
}

const base64 = (secret: Secret) => secret.reveal((bytes) => Buffer.from(bytes).toString('base64'))

async function readAuthority(path: string): Promise<string> {
  const { bytes } = await readRegular(path, AUTHORITY_BYTES)
  if (bytes.length > AUTHORITY_BYTES) throw new RekeyError('too_large', `${path} is larger than a file of certificate authorities can be.`)
  return Buffer.from(bytes).toString('utf8')
}

/** The line on which the file names each source: by whose secret it is, and by `ca:` and the absolute path of an authority. */
function linesOf({ text, folder }: FleetSource): Map<string, number> {
  const counter = new LineCounter()
  const document = parseDocument(text, { lineCounter: counter })
  const lines = new Map<string, number>()
  const note = (key: string, node: unknown) => {
    if (isNode(node) && node.range && !lines.has(key)) lines.set(key, counter.linePos(node.range[0]).line)
  }
  for (const system of itemsOf(document.get('systems'))) {
    note(`system:${system.get('name')}`, system.getIn(['root', 'secret'], true))
    const authority = system.getIn(['address', 'caFile'], true)
    if (isScalar(authority)) note(`ca:${resolve(folder, String(authority.value))}`, authority)
  }
  for (const credential of itemsOf(document.get('credentials')))
    note(`credential:${credential.get('name')}`, credential.get('current', true))
  return lines
}

function itemsOf(list: unknown): YAMLMap[] {
  return isSeq(list) ? list.items.filter((item) => isMap(item)) : []
}
