import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, vi } from 'vitest'
import { checkLeftovers } from './canary/recorder.ts'
import { FILE_FOLDER, RUN_FOLDER } from './lab/copies.ts'
import { stopServer } from './lab/database.ts'

/*
 * The canary (SECURITY.md, invariant 6): whatever the product generates or seals in this process is recorded, and looked for in the
 * clear in all that the shared database leaves on disk. The originals do the work; only a copy of the value is taken.
 */
vi.mock(import('../src/seal/generate.ts'), async (original) => {
  const [real, { record }] = await Promise.all([original(), import('./canary/recorder.ts')])
  return { ...real, generatePassword: () => record('a generated password', real.generatePassword(), true) }
})
vi.mock(import('../src/seal/envelope.ts'), async (original) => {
  const [real, { record }] = await Promise.all([original(), import('./canary/recorder.ts')])
  return {
    ...real,
    newKey: () => record('a key', real.newKey(), true),
    seal: (key, plain, bound) => real.seal(key, record('a sealed value', plain, false), bound),
  }
})
vi.mock(import('../src/identity/tokens.ts'), async (original) => {
  const [real, { record }, { Secret }] = await Promise.all([original(), import('./canary/recorder.ts'), import('../src/kernel/index.ts')])
  return {
    ...real,
    ensureAdminToken: (store, ctx, write) =>
      real.ensureAdminToken(store, ctx, (token) => {
        record('the admin token', Secret.fromText(token), true)
        return write(token)
      }),
  }
})

/** Temporary folders of this file's tests, so that what they leave behind is known for theirs. Servers run as other users pass through. */
const folder = mkdtempSync(join(tmpdir(), 'rk-'))
chmodSync(folder, 0o711)
const before = process.env.TMPDIR
process.env.TMPDIR = folder
const servers = mkdtempSync(join(process.env[RUN_FOLDER] ?? folder, 'f-'))
chmodSync(servers, 0o711)
process.env[FILE_FOLDER] = servers

// The first to be registered runs last.
afterAll(async () => {
  try {
    await stopServer()
    for (const each of [folder, servers]) checkLeftovers(each)
  } finally {
    if (before === undefined) delete process.env.TMPDIR
    else process.env.TMPDIR = before
    delete process.env[FILE_FOLDER]
    for (const each of [folder, servers]) rmSync(each, { recursive: true, force: true, maxRetries: 5 })
  }
})
