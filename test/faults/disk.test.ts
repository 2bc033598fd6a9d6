/** No room where the consumers' files are: nothing of a target is touched that cannot be followed by a file. */
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { Engine } from '../../src/credential/testing.ts'
import { sleep } from '../../src/kernel/index.ts'
import { FILE_FOLDER } from '../lab/copies.ts'
import { MAY_MOUNT, mount, unmount } from '../lab/mounts.ts'
import { Child } from './child.parent.ts'
import { type OwnDatabase, startOwnDatabase } from './kit.database.ts'
import { Hooks } from './kit.hooks.ts'
import { type Case, ended, endedInTheEnd, faultsAfter, heldValues, makeCase, published, rotate, Tally } from './kit.ts'
import { accepts, availableKinds, startYards, WAYS, type Way, wayName, type Yard } from './kit.yards.ts'

const kinds = availableKinds()
const ways = WAYS.filter((way) => kinds.includes(way.kind))
const tally = new Tally()
let yards: Yard[]
let engine: Engine

beforeAll(async () => {
  ;[engine, yards] = await Promise.all([Engine.start({ worker: false }), startYards(kinds)])
})
afterAll(async () => {
  tally.print()
  await engine?.stop()
  await Promise.all((yards ?? []).map((yard) => yard.lab.stop()))
})

function caseOf(way: Way, path?: string, at = engine): Promise<Case> {
  const yard = yards.find((each) => each.kind === way.kind)
  if (yard === undefined) throw new Error(`${way.kind} does not run`)
  return makeCase(at, yard, way, path === undefined ? {} : { path })
}

/** Waits until the rotation says that it cannot write, and checks that the old value is in its file and accepted. */
async function waitsUntouched(one: Case, rotation: string): Promise<string[]> {
  const view = await engine.until(rotation, ({ reason }) => (reason ?? '').includes('cannot be written'))
  const [old, fresh] = await heldValues(engine, one.credential)
  const file = published(one.path)
  const inPlace = one.way.strategy === 'in-place'
  return [
    ...(inPlace && view.state !== 'staged' ? [`it went on to ${view.state}`] : []),
    ...(inPlace && view.installedAt !== null ? ['the target was touched'] : []),
    ...(inPlace && fresh && (await accepts(one.yard, fresh.account, fresh.secret)) ? ['the new value is accepted'] : []),
    ...(old && (await accepts(one.yard, old.account, old.secret)) ? [] : ['the old value is refused']),
    ...(file !== null && old?.secret.equals(file) ? [] : ['the file is damaged']),
  ].map((fault) => `${wayName(one.way)}: ${fault}`)
}

async function check(group: string, cases: readonly Case[], ids: readonly string[], during: readonly (readonly string[])[]): Promise<void> {
  const found = cases.map((one, index) => {
    const after = faultsAfter(engine, one, ids[index] ?? '')
    return tally.count(
      group,
      after.then((faults) => [...(during[index] ?? []), ...faults]),
    )
  })
  expect((await Promise.all(found)).flat()).toEqual([])
}

test('a process that can write no file waits, and goes on when it can', { timeout: 120_000 }, async () => {
  const cases = await Promise.all(ways.map((way) => caseOf(way)))
  const ids = await rotate(engine, cases)
  const poor = await Child.start(engine, null, true)
  const during = await Promise.all(cases.map((one, index) => waitsUntouched(one, ids[index] ?? '')))
  await poor.stop()
  const rich = await Child.start(engine)
  await ended(engine, ids)
  await rich.stop()
  await check('no file can be written', cases, ids, during)
})

/** A file system of that size of its own; null if this account may not mount: the limit of the process stands in for it then. */
function smallFolder(size: string): { path: string; fill(): void; makeRoom(): void; remove(): void } | null {
  if (!MAY_MOUNT) return null
  const path = mkdtempSync(join(tmpdir(), 'rekey-full-'))
  mount('-t', 'tmpfs', '-o', `size=${size},mode=755`, 'none', path)
  const filler = join(path, 'filler')
  return {
    path,
    fill: () => fill(filler),
    makeRoom: () => rmSync(filler),
    remove() {
      unmount(path)
      rmSync(path, { recursive: true })
    },
  }
}

/** Takes every block that is left. */
function fill(path: string): void {
  const file = openSync(path, 'w')
  try {
    for (;;) writeSync(file, Buffer.alloc(16 * 1024, 'x'))
  } catch (error) {
    if ((error as { code?: string }).code !== 'ENOSPC') throw error
  } finally {
    closeSync(file)
  }
}

test('consumers on a full disk are waited for', async () => {
  const folder = smallFolder('64k')
  if (folder === null) return
  try {
    const some = ways.slice(0, 6)
    const cases: Case[] = []
    for (const [index, way] of some.entries()) cases.push(await caseOf(way, join(folder.path, `${index}.secret`)))
    for (const one of cases) {
      const [old] = await heldValues(engine, one.credential)
      old?.secret.revealText((text) => writeFileSync(one.path, `${text}\n`))
    }
    folder.fill()
    const ids = await rotate(engine, cases)
    const child = await Child.start(engine)
    const during = await Promise.all(cases.map((one, index) => waitsUntouched(one, ids[index] ?? '')))
    folder.makeRoom()
    await ended(engine, ids)
    await child.stop()
    await check('disk full', cases, ids, during)
  } finally {
    folder.remove()
  }
})

test("Rekey's own database on a full disk: nothing is lost that was touched before", { timeout: 120_000 }, async () => {
  const folder = smallFolder('140m')
  if (folder === null) return
  const hooks = new Hooks()
  vi.stubEnv(FILE_FOLDER, folder.path)
  const own = await startOwnDatabase().finally(() => vi.unstubAllEnvs())
  const other = await Engine.start({ db: own.db, parts: { trap: hooks.trap } })
  try {
    const cases: Case[] = []
    for (const way of ways) cases.push(await caseOf(way, undefined, other))
    let full: Promise<unknown> | undefined
    const ids = await hooks.start(
      () => rotate(other, cases),
      () => 'before_install',
      async () => {
        full ??= useUp(own, folder)
        await full
      },
    )
    await sleep(3_000)
    expect(full).toBeDefined()
    await expect(
      own.db.store.query('create table room as select repeat(md5(n::text), 100) from generate_series(1, 10000) n'),
    ).rejects.toBeDefined()
    folder.makeRoom()
    await own.server.restart()
    await endedInTheEnd(other, ids, 40_000)
    const found = await Promise.all(cases.map((one, index) => tally.count('own disk full', faultsAfter(other, one, ids[index] ?? ''))))
    expect(found.flat()).toEqual([])
  } finally {
    await other.stop()
    await own.stop()
    folder.remove()
  }
})

/** Takes all room, and makes the database need some: it stops with the next write-ahead segment. */
async function useUp(own: OwnDatabase, folder: { fill(): void }): Promise<void> {
  folder.fill()
  for (let n = 0; n < 4; n++) await own.server.query('select pg_switch_wal()').catch(() => undefined)
}
