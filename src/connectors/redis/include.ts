import { constants, type FileHandle, open, readdir } from 'node:fs/promises'
import { basename, dirname, isAbsolute, join } from 'node:path'
import { RekeyError } from '../../kernel/index.ts'

/** A longer file is no configuration of Redis. */
const LARGEST_BYTES = 1024 * 1024
/** Files that are looked into, those that they include counted in. */
const MOST_FILES = 100
/** More of them in one pattern cost more time than such a name is worth. */
const MOST_STARS = 3
const HERE = /^(localhost|127(\.\d{1,3}){3}|::1)$/i

/** Whether the server's files are most likely files of this machine. In a container or behind a tunnel they are not. */
export function isHere(host: string): boolean {
  return HERE.test(host)
}

/**
 * Throws `target_unsupported` if CONFIG REWRITE would keep the server from ever starting again: it writes all accounts into the
 * configuration file, also those that an included file declares, and no account may be declared twice. The server does not tell of its
 * includes (CONFIG GET has none), so the file is read where it can be. What cannot be read is not known, and nothing is thrown for it.
 * Nor does the server tell of accounts on its command line (`--user`), which end the same way.
 */
export async function refuseIncludedAccounts(configFile: string): Promise<void> {
  const main = await textOf(configFile)
  if (main === null) return
  const due = [...readConfig(main).includes]
  for (let at = 0; at < due.length; at++) {
    const found = at < MOST_FILES ? await filesOf(due[at] ?? '') : null
    const texts = found === null ? [null] : await Promise.all(found.map(textOf))
    for (const text of texts) {
      if (text === null)
        throw refusal('The configuration of this Redis includes files of which Rekey cannot see whether they declare accounts.')
      const { includes, accounts } = readConfig(text)
      if (accounts) throw refusal('This Redis declares accounts in an included file: when they are saved it would not start again.')
      due.push(...includes)
    }
  }
}

function refusal(message: string): RekeyError {
  return new RekeyError('target_unsupported', message, {
    hint: 'Move all accounts into an aclfile or the configuration file itself, or include files by whole paths that Rekey may read.',
  })
}

/** What a configuration file of Redis says of others and of accounts. Names of settings are in any case; values may be in quotes. */
export function readConfig(text: string): { readonly includes: readonly string[]; readonly accounts: boolean } {
  const includes: string[] = []
  let accounts = false
  for (const line of text.split('\n').map((each) => each.trim())) {
    const end = line.search(/\s/)
    const name = unquoted(line.slice(0, Math.max(end, 0))).toLowerCase()
    if (name === 'include') includes.push(unquoted(line.slice(end).trim()))
    accounts ||= name === 'user'
  }
  return { includes, accounts }
}

function unquoted(word: string): string {
  return /^(".*"|'.*')$/.test(word) ? word.slice(1, -1) : word
}

/** The files that an include names: one, or those that fit where its last part has `*` or `?`. Null if that cannot be told. */
async function filesOf(path: string): Promise<readonly string[] | null> {
  // A path that is not whole begins where the server was started.
  if (!isAbsolute(path) || /[\\"']/.test(path)) return null
  const [folder, name] = [dirname(path), basename(path)]
  if (/[*?[\]]/.test(folder) || /[[\]]/.test(name)) return null
  if (!/[*?]/.test(name)) return [path]
  if (name.split('*').length > MOST_STARS + 1) return null
  const names = await readdir(folder).catch(() => null)
  return (
    names
      ?.filter((each) => fits(each, name))
      .slice(0, MOST_FILES)
      .map((each) => join(folder, each)) ?? null
  )
}

/** As `glob`: a file whose name begins with a dot fits no pattern that does not. */
function fits(name: string, pattern: string): boolean {
  if (name.startsWith('.') && !pattern.startsWith('.')) return false
  const source = pattern
    .replace(/[.+^${}()|]/g, '\\$&')
    .replaceAll('*', '.*')
    .replaceAll('?', '.')
  return new RegExp(`^${source}$`, 's').test(name)
}

/** The text of a regular file that is not too long; null for all else. It never waits: what a server names may be a pipe. */
async function textOf(path: string): Promise<string | null> {
  let file: FileHandle | null = null
  try {
    file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
    const { size } = await file.stat().then((stat) => (stat.isFile() ? stat : { size: Number.POSITIVE_INFINITY }))
    if (size > LARGEST_BYTES) return null
    const bytes = Buffer.alloc(size)
    const { bytesRead } = await file.read(bytes, 0, size, 0)
    return bytes.toString('utf8', 0, bytesRead)
  } catch {
    return null
  } finally {
    await file?.close()
  }
}
