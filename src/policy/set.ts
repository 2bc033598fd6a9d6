/** From files of policies to a set that is known to be valid. */
import { readdirSync, readFileSync } from 'node:fs'
import { RekeyError } from '../kernel/index.ts'
import { countPolicies, entitiesNamed, type Objection, parsePolicy, validatePolicies } from './cedar.ts'
import { tooDeep, treeTooDeep } from './depth.ts'
import { separationFaults } from './hands.ts'
import { HeldByTexts } from './held.ts'
import { COMMENT, oddLetter, STRING, withLineFeeds } from './letters.ts'
import type { Policy, PolicyFault, PolicyFile } from './set.model.ts'

/** Policies that were checked, all of them, against the schema and for the separation of rights. Only `readPolicies` makes one. */
export interface PolicySet {
  readonly files: readonly PolicyFile[]
  readonly policies: readonly Policy[]
  /** Types of the entities that some policy names by id. */
  readonly typesNamed: ReadonlySet<string>
}

/** Most bytes of a whole set: it is read, checked and kept as a whole. */
export const POLICY_SET_MAX_BYTES = 512 * 1024

const FILE_NAME = /^[a-z0-9][a-z0-9-]{0,62}\.cedar$/
const POLICY_NAME = /^[a-z0-9][a-z0-9-]{0,62}$/

/** The default set that this version of the program brings. */
export function defaultFiles(): PolicyFile[] {
  const folder = new URL('default/', import.meta.url)
  const names = readdirSync(folder).filter((name) => name.endsWith('.cedar'))
  return names.sort().map((name) => ({ name, text: readFileSync(new URL(name, folder), 'utf8') }))
}

let defaults: PolicySet | null = null

/** The default set, read and checked once in this process. */
export function defaultPolicies(): PolicySet {
  defaults ??= readPolicies(defaultFiles())
  return defaults
}

/**
 * `own` over `base`: a file of the same name takes the place of the base's. In the order of their names; lines end with line feeds,
 * whatever the editor writes.
 */
export function overlay(base: readonly PolicyFile[], own: readonly PolicyFile[]): PolicyFile[] {
  const files = new Map([...base, ...own].map(({ name, text }) => [name, { name, text: withLineFeeds(text) }]))
  return [...files.values()].sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0))
}

/**
 * Checks and reads a set, here and now: for what the program brings, and for whoever runs it with texts of their own. A server reads what
 * others have written with `readPoliciesApart`. Throws `policy_invalid` with every fault at once, each with file and line. `isInForce`: as
 * `textFaults`.
 */
export function readPolicies(files: readonly PolicyFile[], isInForce = false): PolicySet {
  const { policies, faults } = parseFiles(files, isInForce)
  if (faults.length === 0) {
    faults.push(...schemaFaults(policies))
    faults.push(...separationFaults(policies))
    if (policies.length === 0) faults.push({ path: '', line: 1, message: 'There is no policy: nobody could do anything.' })
  }
  if (faults.length > 0) {
    throw new RekeyError('policy_invalid', `The policies have ${faults.length} fault(s).`, { faults })
  }
  return rememberPolicies({ files, policies, typesNamed: typesIn(policies) })
}

/** A set that was checked before, read again without checking it. */
export function rereadPolicies(files: readonly PolicyFile[]): PolicySet {
  const { policies } = parseFiles(files, true)
  return { files, policies, typesNamed: typesIn(policies) }
}

function typesIn(policies: readonly Policy[]): Set<string> {
  return new Set(policies.flatMap(({ json }) => entitiesNamed(json).map(({ type }) => type)))
}

const known = new HeldByTexts<PolicySet>()

/** A set that was read, found again by its texts as long as anybody holds it. */
export const rememberPolicies = (set: PolicySet): PolicySet => known.add(set)

/** A set of exactly these texts that was read in this process; null if nobody holds one. */
export const knownPolicies = (files: readonly PolicyFile[]): PolicySet | null => known.find(files)

/**
 * What is wrong with files before any parser sees them: their sizes, names and letters, and how deep they go. Takes milliseconds.
 * `isInForce`: letters that mislead readers are let through, since a set that came into force with them, under an older version, would let
 * nobody do anything any more.
 */
export function textFaults(files: readonly PolicyFile[], isInForce = false): PolicyFault[] {
  if (files.reduce((bytes, { text }) => bytes + Buffer.byteLength(text), 0) > POLICY_SET_MAX_BYTES) {
    return [{ path: '', line: 1, message: `The policies are larger than ${POLICY_SET_MAX_BYTES / 1024} KiB together.` }]
  }
  const names = new Set<string>()
  return files.flatMap((file) => {
    const fault = textFault(file, names, isInForce)
    names.add(file.name)
    return fault === null ? [] : [{ path: FILE_NAME.test(file.name) ? file.name : JSON.stringify(file.name), ...fault }]
  })
}

function textFault({ name, text }: PolicyFile, names: ReadonlySet<string>, isInForce: boolean): Omit<PolicyFault, 'path'> | null {
  if (!FILE_NAME.test(name)) return { line: 1, message: 'A file of policies is named like my-rules.cedar.' }
  if (names.has(name)) return { line: 1, message: 'There are two files of this name.' }
  if (!text.isWellFormed() || text.includes('\u0000')) return { line: 1, message: 'This is no text.' }
  return (isInForce ? null : oddLetter(text)) ?? tooDeep(text)
}

/** Files with faults of the first kind are left out: what those are has been told. */
function parseFiles(files: readonly PolicyFile[], isInForce: boolean): { policies: Policy[]; faults: PolicyFault[] } {
  const faults = textFaults(files, isInForce)
  const policies: Policy[] = []
  const bad = new Set(faults.map(({ path }) => path))
  if (bad.has('')) return { policies, faults }
  for (const file of files) if (!bad.has(file.name) && FILE_NAME.test(file.name)) parseFile(file, policies, faults)
  return { policies, faults }
}

function parseFile(file: PolicyFile, policies: Policy[], faults: PolicyFault[]): void {
  const stem = file.name.replace(/\.cedar$/, '')
  const pieces = splitPolicies(file.text)
  const before = faults.length
  const ids = new Set<string>()
  for (const piece of pieces) {
    const parsed = parsePolicy(stem, piece.text)
    if (!('json' in parsed)) {
      faults.push(faultAt(file.name, piece, parsed))
      continue
    }
    const name = parsed.json.annotations?.id
    for (const bad of [treeTooDeep(parsed.json.conditions), nameFault(name, pieces.length, ids)]) {
      if (bad !== null) faults.push({ path: file.name, line: piece.line, message: bad })
    }
    ids.add(name ?? '')
    policies.push({
      id: name === undefined ? stem : `${stem}/${name}`,
      file: file.name,
      line: piece.line,
      text: piece.text,
      json: parsed.json,
    })
  }
  // The splitter is ours and the grammar is Cedar's: if they ever count differently, the set is refused, not guessed at.
  if (faults.length === before && pieces.length > 0 && countPolicies(file.text) !== pieces.length) {
    faults.push({ path: file.name, line: 1, message: 'The policies of this file cannot be told apart.' })
  }
}

function nameFault(name: string | undefined, count: number, taken: ReadonlySet<string>): string | null {
  if (name === undefined) return count > 1 ? 'A file with several policies names each, as in @id("night-shift").' : null
  if (!POLICY_NAME.test(name)) return 'An @id has lower-case letters, digits and hyphens.'
  return taken.has(name) ? `There are two policies with @id("${name}") in this file.` : null
}

function schemaFaults(policies: readonly Policy[]): PolicyFault[] {
  if (policies.length === 0) return []
  const byId = new Map(policies.map((policy) => [policy.id, policy]))
  return validatePolicies(textsOf(policies)).map((objection) => {
    const policy = byId.get(objection.policy)
    return policy === undefined ? { path: '', line: 1, message: objection.message } : faultAt(policy.file, policy, objection)
  })
}

/** Id to text, as Cedar takes them. The ids cannot be names that objects treat specially. */
export function textsOf(policies: readonly Policy[]): Record<string, string> {
  return Object.fromEntries(policies.map(({ id, text }) => [id, text]))
}

function faultAt(path: string, piece: { readonly text: string; readonly line: number }, { message, start }: Objection): PolicyFault {
  const before = Buffer.from(piece.text)
    .subarray(0, start ?? 0)
    .toString()
  return { path, line: piece.line + before.split('\n').length - 1, message }
}

/** What Cedar takes for white space is what Unicode calls so, which `trim` does not. */
const NOT_SPACE = /\P{White_Space}/u
const PIECE = new RegExp(`${STRING}|${COMMENT}|;|[^";/]+|\\/`, 'g')

/** Cuts a file at the semicolons that end policies: not those in strings and comments. What holds only comments is no piece. */
export function splitPolicies(text: string): { text: string; line: number }[] {
  const pieces: { text: string; line: number }[] = []
  let start: number | null = null
  for (const match of text.matchAll(PIECE)) {
    const [what] = match
    const begins = what.startsWith('//') ? -1 : what.search(NOT_SPACE)
    if (start === null && begins >= 0) start = match.index + begins
    if (what !== ';' || start === null) continue
    pieces.push(pieceOf(text, start, match.index + 1))
    start = null
  }
  if (start !== null) pieces.push(pieceOf(text, start, text.length))
  return pieces
}

function pieceOf(text: string, start: number, end: number): { text: string; line: number } {
  return { text: text.slice(start, end), line: text.slice(0, start).split('\n').length }
}

/** The set without policies: whoever asks is refused. For a server that cannot read the set that it should use. */
export const NO_POLICIES: PolicySet = { files: [], policies: [], typesNamed: new Set() }
