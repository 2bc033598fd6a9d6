/** Looks for secrets in bytes, in every form in which programs write them down, in one pass whatever their number. */
import { closeSync, lstatSync, openSync, readdirSync, readSync } from 'node:fs'
import { join } from 'node:path'

/** A secret to look for. */
export interface Needle {
  /** What it is, for people: never a part of the value. */
  readonly kind: string
  readonly bytes: Uint8Array
  /** Its bytes are all random, so that a part of it proves a leak too: a log that cuts its lines still tells. */
  readonly random: boolean
}

/** Where a secret was found. Never carries the secret. */
export interface Find {
  readonly where: string
  readonly offset: number
  readonly encoding: string
  readonly kind: string
}

interface Pattern {
  readonly bytes: Buffer
  readonly encoding: string
  readonly kind: string
}

/** Shorter ones, or ones that repeat few bytes, would be found by chance. */
const LEAST_BYTES = 16
const LEAST_DIFFERENT = 10
/** Of a random value so many bytes from either end are looked for: 96 bits, never met by chance. */
const PART_BYTES = 12
const CHUNK_BYTES = 8 * 1024 * 1024
/** Bits of the table that sorts out nearly every position; 128 KiB stay in the processor's cache. */
const TABLE_BITS = 20
const HASH_FACTOR = 0x9e3779b1

/** False for a value that would be found by chance. */
export function isFindable(bytes: Uint8Array): boolean {
  return bytes.length >= LEAST_BYTES && new Set(bytes).size >= LEAST_DIFFERENT
}

/** What stands in a text for certain when these bytes are within something that is written in base64, for each of three alignments. */
function base64Forms(bytes: Uint8Array): string[] {
  return [0, 1, 2].map((shift) => {
    const text = Buffer.concat([Buffer.alloc(shift), bytes]).toString('base64')
    // The first characters also depend on what comes before, the last on what comes after.
    const whole = Math.floor(((shift + bytes.length) * 8) / 6)
    return text.slice(Math.ceil((shift * 8) / 6), whole)
  })
}

function isText(bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte >= 0x20 && byte !== 0x7f) && Buffer.from(Buffer.from(bytes).toString()).equals(bytes)
}

/** The bytes in each form, by the form's name. */
export function formsOf(bytes: Uint8Array): [encoding: string, form: Buffer][] {
  const raw = Buffer.from(bytes)
  const hex = raw.toString('hex')
  const forms: [string, Buffer][] = [
    ['raw', raw],
    ['hex', Buffer.from(hex)],
    ['HEX', Buffer.from(hex.toUpperCase())],
    ...base64Forms(bytes).flatMap((text, shift): [string, Buffer][] => [
      [`base64+${shift}`, Buffer.from(text)],
      [`base64url+${shift}`, Buffer.from(text.replaceAll('+', '-').replaceAll('/', '_'))],
    ]),
  ]
  if (isText(bytes)) {
    const text = raw.toString()
    forms.push(['UTF-16LE', Buffer.from(text, 'utf16le')])
    forms.push(['URL', Buffer.from(encodeURIComponent(text))], ['JSON', Buffer.from(JSON.stringify(text).slice(1, -1))])
  }
  const seen = new Set<string>()
  return forms.filter(([, form]) => !seen.has(form.toString('latin1')) && seen.add(form.toString('latin1')))
}

function patternsOf({ kind, bytes, random }: Needle): Pattern[] {
  if (!random) return formsOf(bytes).map(([encoding, form]) => ({ bytes: form, encoding, kind }))
  return [bytes.subarray(0, PART_BYTES), bytes.subarray(-PART_BYTES)].flatMap((part) =>
    formsOf(part).map(([encoding, form]) => ({ bytes: form, encoding, kind })),
  )
}

const headOf = (bytes: Uint8Array) => (((bytes[0] ?? 0) << 24) | ((bytes[1] ?? 0) << 16) | ((bytes[2] ?? 0) << 8) | (bytes[3] ?? 0)) >>> 0

const slotOf = (head: number) => Math.imul(head, HASH_FACTOR) >>> (32 - TABLE_BITS)

/** Looks for a set of secrets. Its time grows with what is scanned and hardly with how many secrets there are. */
export class Scanner {
  /** By their first four bytes. */
  readonly #patterns = new Map<number, Pattern[]>()
  readonly #table = new Uint8Array(1 << (TABLE_BITS - 3))
  #longest = 0
  /** Of all files: a new one for each took as long as all the rest of a scan, since a cluster has a thousand small files. */
  #buffer: Buffer | undefined

  /** Needles that would be found by chance are left out. */
  constructor(needles: Iterable<Needle>) {
    for (const needle of needles) if (isFindable(needle.bytes)) for (const pattern of patternsOf(needle)) this.#add(pattern)
  }

  #add(pattern: Pattern): void {
    const head = headOf(pattern.bytes)
    const known = this.#patterns.get(head)
    if (known) known.push(pattern)
    else this.#patterns.set(head, [pattern])
    const slot = slotOf(head)
    this.#table[slot >>> 3] = (this.#table[slot >>> 3] ?? 0) | (1 << (slot & 7))
    this.#longest = Math.max(this.#longest, pattern.bytes.length)
  }

  /** Every place in `bytes` where a secret begins. `base` is added to the offsets. */
  bytes(bytes: Uint8Array, where: string, base = 0): Find[] {
    const finds: Find[] = []
    const table = this.#table
    let head = 0
    for (let i = 0; i < bytes.length; i++) {
      head = ((head << 8) | (bytes[i] ?? 0)) >>> 0
      // Databases and logs prepared in advance are mostly zeros.
      if (head === 0 || i < 3) continue
      const slot = Math.imul(head, HASH_FACTOR) >>> (32 - TABLE_BITS)
      if (((table[slot >>> 3] ?? 0) & (1 << (slot & 7))) === 0) continue
      for (const { bytes: form, encoding, kind } of this.#patterns.get(head) ?? []) {
        const start = i - 3
        if (start + form.length <= bytes.length && form.equals(bytes.subarray(start, start + form.length)))
          finds.push({ where, offset: base + start, encoding, kind })
      }
    }
    return finds
  }

  text(text: string, where: string): Find[] {
    return this.bytes(Buffer.from(text), where)
  }

  /** A file, piece by piece. One that goes away meanwhile has nothing. */
  file(path: string): Find[] {
    const finds: Find[] = []
    const descriptor = tolerate(() => openSync(path, 'r'))
    if (descriptor === undefined) return finds
    try {
      const overlap = Math.max(0, this.#longest - 1)
      this.#buffer ??= Buffer.allocUnsafe(CHUNK_BYTES + overlap)
      const buffer = this.#buffer
      for (let kept = 0, offset = 0; ; ) {
        const read = readSync(descriptor, buffer, kept, CHUNK_BYTES, offset)
        if (read === 0) return finds
        const found = this.bytes(buffer.subarray(0, kept + read), path, offset - kept)
        // What lies wholly within the overlap was found with the piece before.
        finds.push(...found.filter((find) => !finds.some((known) => sameFind(known, find))))
        offset += read
        const keep = Math.min(overlap, kept + read)
        buffer.copy(buffer, 0, kept + read - keep, kept + read)
        kept = keep
      }
    } finally {
      closeSync(descriptor)
    }
  }

  /** Every regular file below a folder that `takes` wants. Resolves with the bytes looked at, too: none means nothing was proven. */
  folder(folder: string, takes: (path: string) => boolean = () => true): { finds: Find[]; bytes: number } {
    const result = { finds: [] as Find[], bytes: 0 }
    for (const path of filesBelow(folder)) {
      if (!takes(path)) continue
      result.bytes += tolerate(() => lstatSync(path).size) ?? 0
      result.finds.push(...this.file(path), ...this.text(path, `the name of ${path}`))
    }
    return result
  }
}

function sameFind(a: Find, b: Find): boolean {
  return a.offset === b.offset && a.encoding === b.encoding && a.kind === b.kind
}

function tolerate<T>(look: () => T): T | undefined {
  try {
    return look()
  } catch (error) {
    if ((error as { code?: string }).code === 'ENOENT') return undefined
    throw error
  }
}

/** The paths of all regular files below a folder; links are not followed. */
export function filesBelow(folder: string): string[] {
  const entries = tolerate(() => readdirSync(folder, { withFileTypes: true })) ?? []
  return entries.flatMap((entry) => {
    const path = join(folder, entry.name)
    return entry.isDirectory() ? filesBelow(path) : entry.isFile() ? [path] : []
  })
}

/** A few lines for people. */
export function describeFinds(finds: readonly Find[]): string {
  const lines = finds.slice(0, 20).map(({ where, offset, encoding, kind }) => `${kind} as ${encoding} in ${where} at byte ${offset}`)
  return [`${finds.length} secret(s) in the clear:`, ...lines].join('\n')
}
