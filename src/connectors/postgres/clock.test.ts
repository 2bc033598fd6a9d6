import { execFileSync } from 'node:child_process'
import { chmodSync, mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { createAccount } from '../../../test/lab/postgres.contract.ts'
import { type LabPostgres, startPostgres } from '../../../test/lab/postgres.ts'
import { findProgram } from '../../../test/lab/program.ts'
import { makeCtx, newId, type Secret } from '../../kernel/index.ts'
import { freshSecret } from '../contract.kit.ts'
import type { Target } from '../contract.ts'
import { postgres } from './index.ts'

/** The server's clock, put off by the seconds that stand in a file. The only way to step the clock of one program. */
const SHIM = `
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/time.h>
#include <unistd.h>
int gettimeofday(struct timeval *tv, void *tz) {
  static int (*real)(struct timeval *, void *);
  char text[32] = {0};
  if (!real) real = dlsym(RTLD_NEXT, "gettimeofday");
  int result = real(tv, tz);
  int file = open(OFFSET, O_RDONLY);
  if (file >= 0) {
    if (read(file, text, 31) > 0) tv->tv_sec += atol(text);
    close(file);
  }
  return result;
}`

const ctx = makeCtx('test', 'clock')
/** A server's clock is set back by a library put before its own: that needs a compiler, which the lab does not install. */
const compiler = findProgram('cc')
const skipped = compiler === null
if (skipped) console.warn('skipped, since there is no C compiler: a PostgreSQL whose clock is set back')
let server: LabPostgres
let target: Target
let stepTo: (seconds: number) => void = () => undefined

beforeAll(async () => {
  if (skipped) return
  const folder = mkdtempSync(join(tmpdir(), 'clock-'))
  chmodSync(folder, 0o755)
  const [source, shim, offset] = ['shim.c', 'shim.so', 'offset'].map((name) => join(folder, name)) as [string, string, string]
  writeFileSync(source, SHIM)
  execFileSync(compiler ?? 'a C compiler is missing', ['-shared', '-fPIC', `-DOFFSET="${offset}"`, '-o', shim, source, '-ldl'])
  stepTo = (seconds) => writeFileSync(offset, `${seconds}`, { mode: 0o644 })
  stepTo(0)
  server = await startPostgres({ fsync: false, preload: shim })
  const { account, secret } = server.superuser
  const address = { host: server.host, port: server.port, database: 'postgres', tls: 'off' } as const
  target = postgres.open({ name: 'lab', address, rootAccount: account, rootSecrets: [secret], timeoutMs: 5000, concurrent: 2 })
})
afterEach(() => stepTo(0))
afterAll(async () => {
  await target?.close()
  await server?.stop()
})

async function session(user: string, secret: Secret) {
  const password = secret.revealText((text) => text)
  const client = new pg.Client({ host: server.host, port: server.port, database: 'postgres', user, password })
  client.on('error', () => undefined)
  await client.connect()
  return {
    alive: () =>
      client.query('select 1').then(
        () => true,
        () => false,
      ),
    end: () => client.end().catch(() => undefined),
  }
}

test.skipIf(skipped)('after the clock was set back an older session is old all the same, at the mark and later', async () => {
  const [account, old, next] = [`acc_${newId().slice(-12)}`, freshSecret(), freshSecret()]
  await createAccount(server, account, old)
  const thief = await session(account, old)
  stepTo(-600)
  const { mark } = await target.install(ctx, { account, strategy: 'in-place', secret: next, current: old })
  expect(await target.sessions(ctx, account, { after: mark })).toEqual([])
  expect(await target.sessions(ctx, account, { before: mark })).toHaveLength(1)
  expect(await target.endSessions(ctx, account, mark)).toBe(1)
  expect(await thief.alive()).toBe(false)
  await thief.end()
})

test.skipIf(skipped)('a session that began in the future proves nothing and is ended', async () => {
  const [account, old, next] = [`acc_${newId().slice(-12)}`, freshSecret(), freshSecret()]
  await createAccount(server, account, old)
  const { mark } = await target.retire(ctx, { account, strategy: 'in-place', old, keep: next })
  stepTo(600)
  const thief = await session(account, old)
  stepTo(0)
  expect(await target.sessions(ctx, account, { after: mark })).toEqual([])
  expect(await target.endSessions(ctx, account, mark)).toBe(1)
  expect(await thief.alive()).toBe(false)
  await thief.end()
})
