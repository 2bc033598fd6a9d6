/** What the data folder itself says: whose database it belongs to, and where that is. */
import { closeSync, constants, existsSync, fchmodSync, linkSync, lstatSync, openSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Config } from './config.ts'
import { type Ctx, makeFolder, messageOf, RekeyError, refuseClosedFolder, Secret, syncFolder, writeDurably } from './kernel/index.ts'
import { hasKeks } from './keys/index.ts'
import type { Store } from './store/index.ts'

/** In a data folder whose database is elsewhere. One line for people; that it is there is what counts. */
const EXTERNAL = 'database-is-external.txt'
/** In a data folder whose embedded database could not be in it: where it is, written before it is made (store/embedded.places.ts). */
const ELSEWHERE = 'database-is-in.txt'

/** Where the embedded database of a data folder lies, as the folder says; null: in the folder itself, if there is one. */
function placeElsewhere(data: string): string | null {
  const note = join(data, ELSEWHERE)
  return existsSync(note) ? readFileSync(note, 'utf8').trim() || null : null
}

/** A cluster is renamed into place whole, before any key is made. */
function hasEmbedded(data: string): boolean {
  return existsSync(join(data, 'postgres')) || existsSync(join(data, ELSEWHERE))
}

/** Where the database was made, as the folder says, while there is none any more, here or there; null otherwise. */
function lostFrom(data: string): string | null {
  const place = placeElsewhere(data)
  return place === null || existsSync(join(data, 'postgres')) || existsSync(join(place, 'postgres')) ? null : place
}

function hasKeysOrToken(data: string): boolean {
  const keys = join(data, 'kek')
  return existsSync(join(data, 'admin.token')) || (existsSync(keys) && readdirSync(keys).some((name) => name.includes('.key')))
}

/**
 * Before anything is made. Without DATABASE_URL, throws `config_invalid` for a folder that was used with it: a second database would be
 * made, its keys mixed with the first one's, and the token of the first replaced. One of a version that left no mark is known by keys or a
 * token where no embedded database ever was: that one is made before them. For the same reason also throws it where the folder names the
 * place of its database, and that is gone; and where this user cannot use the folder.
 */
export function refuseWrongFolder({ data, databaseUrl, tokenFile }: Config): void {
  if (databaseUrl !== null) return
  refuseClosedFolder(data)
  const mark = join(data, EXTERNAL)
  const isMarked = existsSync(mark)
  // Asked first: another process that starts at this moment makes its database before keys and token.
  const isUsed = hasKeysOrToken(data)
  if (!isMarked && (isUsed || existsSync(tokenFile))) refuseLost(data)
  if (!isMarked && (hasEmbedded(data) || !isUsed)) return
  const own = isMarked ? `remove ${mark}` : 'move admin.token and kek/ out of it, and keep them'
  throw new RekeyError('config_invalid', `The data folder ${data} was used with a database elsewhere, and DATABASE_URL is not set.`, {
    hint: `Set DATABASE_URL as before, or use another --data. Only if the folder is to have a database of its own: ${own}.`,
  })
}

function refuseLost(data: string): void {
  const place = lostFrom(data)
  if (place === null) return
  throw new RekeyError('config_invalid', `The database of the data folder ${data} was made in ${place}, and is not there any more.`, {
    hint:
      'Bring it back from the backup. Only to begin anew without what it held: ' +
      `move admin.token, kek/ and ${ELSEWHERE} out of the data folder, and keep them.`,
  })
}

/**
 * The other way round, before anything is made in either: throws `config_invalid` for a folder with an embedded database and a
 * DATABASE_URL of one in which no key was ever made. If the embedded one was moved there, its keys are on record there.
 */
export async function refuseMixing({ data, databaseUrl }: Config, store: Store): Promise<void> {
  if (databaseUrl === null || !hasEmbedded(data) || (await hasKeks(store))) return
  throw new RekeyError('config_invalid', `The data folder ${data} has a database of its own, and that of DATABASE_URL is a new one.`, {
    hint: 'Use another --data for it, or start without DATABASE_URL. A database that is moved is copied first (pg_dump, pg_restore).',
  })
}

/**
 * Marks the folder as one whose database is elsewhere, once the keys fit it. A folder that cannot be written (key files that are mounted
 * read-only) goes without.
 */
export function markExternal({ data, databaseUrl }: Config, ctx: Ctx): void {
  if (databaseUrl === null || existsSync(join(data, EXTERNAL))) return
  try {
    makeFolder(data)
    writeDurably(join(data, EXTERNAL), 'The database of this data folder is the one that DATABASE_URL named.', 'keep')
  } catch (error) {
    // Two that start at one moment write the same.
    if (!existsSync(join(data, EXTERNAL))) ctx.log.info({ error: messageOf(error) }, 'the data folder could not be marked')
  }
}

/**
 * Puts a new token in place, whole. An older file is kept beside it under a dated name, 0600: a database that is not this one may still
 * know its token. Returns that name, null if there was none. A crash may leave the older one under both names.
 */
export function writeTokenFile(path: string, token: string, at: Date): string | null {
  makeFolder(dirname(path))
  const kept = existsFile(path) ? keepBeside(path, at) : null
  writeDurably(path, token, 'replace')
  return kept
}

function existsFile(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined
}

function keepBeside(path: string, at: Date): string {
  const dated = `${path}.${at.toISOString().replaceAll(':', '-')}`
  for (let serial = 1; ; serial++) {
    const kept = serial === 1 ? dated : `${dated}-${serial}`
    try {
      linkSync(path, kept)
    } catch (error) {
      if ((error as { code?: string }).code === 'EEXIST') continue
      throw error
    }
    closeToOthers(kept)
    syncFolder(dirname(kept))
    return kept
  }
}

/** 0600, unless it is a link, which is kept as it is and never followed. */
function closeToOthers(path: string): void {
  if (!lstatSync(path).isFile()) return
  const file = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  try {
    fchmodSync(file, constants.S_IRUSR | constants.S_IWUSR)
  } finally {
    closeSync(file)
  }
}

/** Who empties a data folder to begin anew leaves a database that lies elsewhere, and then its key is missing. */
export function nameDatabase({ data, databaseUrl }: Config, error: unknown): unknown {
  const place = databaseUrl === null ? placeElsewhere(data) : null
  if (!(error instanceof RekeyError) || error.code !== 'kek_unavailable' || place === null) return error
  const where = `The database of this data folder is in ${place}: to begin anew without what it holds, remove that folder too.`
  return new RekeyError(error.code, error.message, { hint: `${error.hint ?? ''} ${where}`.trim(), cause: error })
}

/** What a running Rekey reads of its program. Not the whole folder of it: who tries Rekey out keeps files of consumers beside it. */
const PROGRAM = ['bin', 'console', 'schema', 'scripts', 'src', 'node_modules', 'package.json', 'tsconfig.json']

/**
 * What no consumer's file may be or be in: the data folder, token, passphrase and program. The embedded database may lie elsewhere, and a
 * note in the data folder says where. `database`: of the embedded one, where it and its programs are.
 */
export function ownPlaces({ data, tokenFile, passphraseFile }: Config, database: readonly string[]): string[] {
  const program = PROGRAM.map((name) => join(import.meta.dirname, '..', name))
  const noted = placeElsewhere(data)
  const secrets = [tokenFile, ...(passphraseFile === null ? [] : [passphraseFile])]
  return [data, ...secrets, ...(noted === null ? [] : [noted]), ...database, ...program, process.execPath]
}

/** One passphrase a line, the newest first. Throws `kek_unavailable` where the file cannot be read. */
export function readPassphrases(path: string): Secret[] {
  try {
    const lines = readFileSync(path, 'utf8').split(/\r?\n/)
    return lines.filter((line) => line !== '').map((line) => Secret.fromText(line))
  } catch (error) {
    throw new RekeyError('kek_unavailable', `The passphrase file cannot be read: ${path}`, { cause: error })
  }
}
