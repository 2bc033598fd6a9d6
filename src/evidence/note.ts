import { createHash, createPrivateKey, createPublicKey, type KeyObject, randomBytes, sign, verify } from 'node:crypto'
import { RekeyError, Secret } from '../kernel/index.ts'
import { sameBytes } from './merkle.ts'

/** Whoever can sign checkpoints and bundles. */
export interface Signer {
  /** The key's name: no white space, no `+`. It is also the first part of the origin line of both logs and of bundles. */
  readonly name: string
  /** Ed25519 public key, 32 bytes. */
  readonly publicKey: Uint8Array
  /** Ed25519 signature of `message`, 64 bytes. */
  sign(message: Uint8Array): Uint8Array
}

/** What is needed to believe a signature: the public half of a `Signer`. */
export interface VerifierKey {
  readonly name: string
  readonly publicKey: Uint8Array
}

const SEED_BYTES = 32
const KEY_BYTES = 32
const KEY_ID_BYTES = 4
const ED25519 = 1
const NOTE_MAX_CHARS = 100_000
const SIGNATURES_MAX = 16
const SIGNATURE_LINE = /^\u2014 (\S+) ([A-Za-z0-9+/]+={0,2})$/u
const PKCS8_ED25519 = Buffer.from('302e020100300506032b657004220420', 'hex')
const SPKI_ED25519 = Buffer.from('302a300506032b6570032100', 'hex')

/** A fresh Ed25519 seed, 32 random bytes. The caller keeps it sealed. */
export function newSigningSeed(): Secret {
  const seed = randomBytes(SEED_BYTES)
  const secret = new Secret(seed)
  seed.fill(0)
  return secret
}

/** A signer from a 32-byte Ed25519 seed (RFC 8032). Throws `bad_input` for another length or a name that cannot stand in a note. */
export function signerFromSeed(name: string, seed: Secret): Signer {
  checkName(name)
  const privateKey = seed.reveal((bytes) => {
    if (bytes.length !== SEED_BYTES) throw new RekeyError('bad_input', 'An Ed25519 seed has 32 bytes.')
    return createPrivateKey({ key: Buffer.concat([PKCS8_ED25519, bytes]), format: 'der', type: 'pkcs8' })
  })
  const publicKey = createPublicKey(privateKey).export({ format: 'der', type: 'spki' }).subarray(SPKI_ED25519.length)
  return { name, publicKey, sign: (message) => sign(null, message, privateKey) }
}

/** The key in text, `name+<key id in hex>+<base64 of 0x01 and the public key>` (C2SP signed-note), as handed to whoever verifies. */
export function formatVerifierKey(key: VerifierKey): string {
  return `${key.name}+${Buffer.from(keyId(key)).toString('hex')}+${Buffer.from([ED25519, ...key.publicKey]).toString('base64')}`
}

/**
 * The inverse of `formatVerifierKey`; white space around it is passed over. Throws `bad_input` for anything else, a wrong key id
 * included.
 */
export function parseVerifierKey(text: string): VerifierKey {
  const [, name = '', id = '', data = ''] = /^([^\s+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/]+=*)$/u.exec(text.trim()) ?? []
  const bytes = strictBase64(data)
  if (bytes?.length !== KEY_BYTES + 1 || bytes[0] !== ED25519) {
    throw new RekeyError('bad_input', 'This is not an Ed25519 verifier key.', { hint: 'It looks like name+01234567+AXy….' })
  }
  const key = { name, publicKey: bytes.subarray(1) }
  checkName(name)
  if (Buffer.from(keyId(key)).toString('hex') !== id) throw new RekeyError('bad_input', 'The verifier key does not match its own key id.')
  return key
}

/**
 * Signs a text, which must end with a newline (C2SP signed-note): the text, an empty line, one signature line.
 * Throws `bad_input` for a text that no note can carry.
 */
export function signNote(text: string, signer: Signer): string {
  if (!isNoteText(text)) throw new RekeyError('bad_input', 'The text cannot be carried by a signed note.')
  const signature = Buffer.concat([keyId(signer), signer.sign(Buffer.from(text))])
  return `${text}\n\u2014 ${signer.name} ${signature.toString('base64')}\n`
}

/**
 * The text of a signed note, once a signature by `key` is found good. Signatures by other keys are passed over, as C2SP
 * signed-note asks, and counted in `others`. Throws `evidence_damaged`, saying what is wrong, if the note is malformed, carries
 * no signature by `key`, or a false one.
 */
export function openNote(note: string, key: VerifierKey): { readonly text: string; readonly others: number } {
  const { text, signatures } = splitNote(note)
  const ours = signatures.filter(({ name, id }) => name === key.name && sameBytes(id, keyId(key)))
  if (ours.length === 0) throw damaged('The note is not signed with this key.')
  const publicKey = publicKeyOf(key)
  for (const { signature } of ours) {
    if (!verify(null, Buffer.from(text), publicKey, signature)) throw damaged('The signature of the note is false.')
  }
  return { text, others: signatures.length - ours.length }
}

/** The strict decoding of RFC 4648 section 4: `null` unless `text` is exactly what an encoder would have written. */
export function strictBase64(text: string): Uint8Array | null {
  const bytes = Buffer.from(text, 'base64')
  return bytes.toString('base64') === text ? bytes : null
}

interface SignatureLine {
  readonly name: string
  readonly id: Uint8Array
  readonly signature: Uint8Array
}

function splitNote(note: string): { text: string; signatures: SignatureLine[] } {
  const gap = note.lastIndexOf('\n\n')
  if (note.length > NOTE_MAX_CHARS || gap < 0 || !note.endsWith('\n')) throw damaged('It is not a signed note.')
  const text = note.slice(0, gap + 1)
  const lines = note.slice(gap + 2, -1).split('\n')
  if (!isNoteText(text) || lines.length > SIGNATURES_MAX) throw damaged('It is not a signed note.')
  return { text, signatures: lines.map(parseSignature) }
}

function parseSignature(line: string): SignatureLine {
  const [, name = '', encoded = ''] = SIGNATURE_LINE.exec(line) ?? []
  const bytes = strictBase64(encoded)
  if (!isName(name) || bytes === null || bytes.length <= KEY_ID_BYTES) throw damaged('A signature line of the note is malformed.')
  return { name, id: bytes.subarray(0, KEY_ID_BYTES), signature: bytes.subarray(KEY_ID_BYTES) }
}

/** SHA-256(name || 0x0A || 0x01 || public key), first four bytes (C2SP signed-note, Ed25519). */
function keyId(key: VerifierKey): Uint8Array {
  return createHash('sha256')
    .update(`${key.name}\n`)
    .update(Uint8Array.of(ED25519))
    .update(key.publicKey)
    .digest()
    .subarray(0, KEY_ID_BYTES)
}

function publicKeyOf(key: VerifierKey): KeyObject {
  return createPublicKey({ key: Buffer.concat([SPKI_ED25519, key.publicKey]), format: 'der', type: 'spki' })
}

function isNoteText(text: string): boolean {
  return text.endsWith('\n') && text.isWellFormed() && !/\p{Cc}/u.test(text.replaceAll('\n', ''))
}

function isName(name: string): boolean {
  return name !== '' && name.isWellFormed() && !/[\s+\p{Cc}]/u.test(name)
}

function checkName(name: string): void {
  if (!isName(name)) throw new RekeyError('bad_input', 'The name of a signing key has no white space and no "+".')
}

function damaged(message: string): RekeyError {
  return new RekeyError('evidence_damaged', message)
}
