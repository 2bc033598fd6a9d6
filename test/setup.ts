import { afterAll, vi } from 'vitest'
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

afterAll(stopServer)
