/**
 * For tests: what a process of the database's user could try while root makes a cluster. In `folder` it puts links to `victim` in place of
 * the files that root writes: `once`, as soon as `initdb` has written them, or `always`, as fast as it can, also at the names beside.
 */
import { existsSync, lstatSync, mkdirSync, renameSync, rmSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'

const [, , folder = '', victim = '', how] = process.argv
// Not the settings: without them `initdb` could not go on, and root would write nothing.
const FILES = ['pg_hba.conf', 'pg_ident.conf']
const parent = process.ppid

function attempt(act: () => void): boolean {
  try {
    act()
    return true
  } catch {
    return false
  }
}

function swap(name: string): boolean {
  const path = join(folder, name)
  return attempt(() => {
    if (lstatSync(path).isSymbolicLink()) throw new Error('done')
    renameSync(path, `${path}.x`)
    symlinkSync(victim, path)
  })
}

process.stdout.write('ready\n')
const left = new Set(FILES)
// The file is made when the settings are written and before the first database is.
while (left.size > 0 && process.ppid === parent) {
  if (!existsSync(join(folder, 'global', '1262'))) continue
  for (const name of FILES) {
    if ((how === 'always' || left.has(name)) && swap(name) && how === 'once') left.delete(name)
    if (how !== 'always') continue
    const beside = join(folder, `${name}.new`)
    if (!attempt(() => symlinkSync(victim, beside))) attempt(() => rmSync(beside))
    attempt(() => mkdirSync(beside))
  }
}
process.stdout.write('swapped\n')
