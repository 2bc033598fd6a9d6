import { closeSync, fsyncSync, linkSync, openSync, renameSync, rmSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'
import { makeFolders } from './folders.ts'

/**
 * Makes the names in a folder last over a power cut. The sync of a file does not do that for the name it has (fsync(2)): a file that was
 * synced and then linked or renamed into its place can be gone. Throws what the file system throws.
 */
export function syncFolder(path: string): void {
  const folder = openSync(path, 'r')
  try {
    fsyncSync(folder)
  } finally {
    closeSync(folder)
  }
}

/** Makes a folder 0700, and those above it that are missing; what was made lasts over a power cut. Throws what the file system throws. */
export function makeFolder(path: string): void {
  const first = makeFolders(path, 0o700)
  if (first === undefined) return
  for (let at = path; at.length >= first.length; at = dirname(at)) syncFolder(dirname(at))
}

/**
 * Writes a 0600 file of one line and a line break: whole or not at all, and when it returns it lasts over a power cut. It is written
 * beside its place first (`….new`, which a crash may leave), never through a link or into a file that somebody put there. `exists`: what
 * is to happen to a file that has the name already; `keep` throws `EEXIST`. Otherwise throws what the file system throws. One writer at a
 * time. Consumers' files are others' and have a way of their own (credential/files.ts).
 */
export function writeDurably(path: string, line: string, exists: 'keep' | 'replace'): void {
  const making = `${path}.new`
  rmSync(making, { force: true })
  const file = openSync(making, 'wx', 0o600)
  try {
    writeSync(file, `${line}\n`)
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
  if (exists === 'replace') renameSync(making, path)
  else linkInto(making, path)
  syncFolder(dirname(path))
}

function linkInto(making: string, path: string): void {
  try {
    linkSync(making, path)
  } finally {
    rmSync(making)
  }
}
