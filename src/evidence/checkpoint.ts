import { RekeyError } from '../kernel/index.ts'
import type { LogName } from './event.ts'
import type { Hash } from './merkle.ts'
import { openNote, type Signer, signNote, strictBase64, type VerifierKey } from './note.ts'

/** A tree head as C2SP tlog-checkpoint carries it. */
export interface Checkpoint {
  /** Which log this is, `<key name>/identity` or `<key name>/credential`; unique in the world as far as the key name is. */
  readonly origin: string
  /** Number of leaves. */
  readonly size: number
  /** Root of the tree of that size. */
  readonly root: Hash
  /** When the signer says it signed, RFC 3339 UTC. */
  readonly at: string
}

// The time is an extension line: C2SP permits them, readers that know nothing of ours pass them over, and so it is signed too.
const AT_LINE = /^at (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z)$/
const SIZE = /^(0|[1-9]\d{0,15})$/
const ROOT_BYTES = 32

/** The origin line of one log under a key of this name. */
export function originOf(keyName: string, log: LogName): string {
  return `${keyName}/${log}`
}

/** The signed note of a tree head. */
export function signCheckpoint(checkpoint: Checkpoint, signer: Signer): string {
  const root = Buffer.from(checkpoint.root).toString('base64')
  return signNote(`${checkpoint.origin}\n${checkpoint.size}\n${root}\nat ${checkpoint.at}\n`, signer)
}

/**
 * The tree head in a signed note. Throws `evidence_damaged`, saying what is wrong, unless the note is signed by `key` and by nobody
 * else, is of this log, and is in exactly the form in which Rekey writes it. (C2SP lets a reader pass over signatures by strangers;
 * here that would leave bytes which nobody checks.)
 */
export function openCheckpoint(note: string, key: VerifierKey, log: LogName): Checkpoint {
  const { text, others } = openNote(note, key)
  if (others > 0) throw new RekeyError('evidence_damaged', 'The checkpoint carries signatures that cannot be checked.')
  const checkpoint = parseCheckpoint(text)
  if (checkpoint.origin !== originOf(key.name, log)) {
    throw new RekeyError('evidence_damaged', `The checkpoint is of another log than ${originOf(key.name, log)}.`)
  }
  return checkpoint
}

function parseCheckpoint(text: string): Checkpoint {
  const [origin = '', sizeText = '', rootText = '', atLine = '', ...rest] = text.slice(0, -1).split('\n')
  const size = SIZE.test(sizeText) ? Number(sizeText) : Number.NaN
  const root = strictBase64(rootText)
  const at = AT_LINE.exec(atLine)?.[1]
  if (origin === '' || !Number.isSafeInteger(size) || root?.length !== ROOT_BYTES || at === undefined || rest.length > 0) {
    throw new RekeyError('evidence_damaged', 'The text of the checkpoint is malformed.')
  }
  return { origin, size, root, at }
}
