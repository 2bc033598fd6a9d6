/** The canary in the product as it is shipped: no secret of a long day is anywhere that it should not be (invariant 6). */

import { spawnSync } from 'node:child_process'
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { describeFinds, type Find, filesBelow, type Needle, Scanner } from './scanner.ts'
import { type Day, live } from './story.ts'
import { ROOT_VARIABLE } from './targets.ts'

const DAY_MS = 240_000

const folder = mkdtempSync(join(tmpdir(), 'rekey-canary-'))
// As root the database runs as somebody else, who must get there.
chmodSync(folder, 0o711)
let day: Day
let scanner: Scanner
beforeAll(async () => {
  day = await live(folder)
  scanner = new Scanner([...day.needles, ...verifiers(day)])
}, DAY_MS)
afterAll(async () => {
  await day?.targets.stop()
  rmSync(folder, { recursive: true, force: true })
})

/** The verifier that a refusal quoted: worth a dictionary attack, so Rekey shows it to nobody. Its end, since many begin alike. */
function verifiers({ targets }: Day): Needle[] {
  return [{ kind: 'a verifier', bytes: Buffer.from(targets.refusedVerifier().slice(-60)), random: true }]
}

function none(finds: readonly Find[]): void {
  expect(finds.length === 0 ? '' : describeFinds(finds)).toBe('')
}

test('the canary knows what to look for', () => {
  const kinds = (start: string) => day.needles.filter(({ kind }) => kind.startsWith(start)).length
  expect(kinds('a value of in_place')).toBeGreaterThanOrEqual(3)
  expect(kinds('a value of root@pg')).toBeGreaterThanOrEqual(2)
  expect(kinds('the data key')).toBeGreaterThan(10)
  expect(kinds('a key-encryption key')).toBe(2)
  expect(day.targets.refusedVerifier()).toMatch(/^SCRAM-SHA-256\$4096:/)
  expect(day.rekey.said.length).toBeGreaterThan(50)
  console.info(`${day.needles.length} secrets, ${day.looks} looks at processes, ${day.rekey.said.length} answers`)
})

test('nothing that Rekey keeps on disk has a secret but the key files and the token file, each only its own', () => {
  const own = (path: string) => dirname(path) === join(day.data, 'kek') || path === join(day.data, 'admin.token')
  const { finds, bytes } = scanner.folder(day.data, (path) => !own(path))
  expect(bytes).toBeGreaterThan(20_000_000)
  none(finds)
  none(scanner.text(day.rows, 'the rows of the database'))
  for (const path of filesBelow(day.data).filter(own)) {
    expect(statSync(path).mode & 0o777, path).toBe(0o600)
    const kinds = new Set(scanner.file(path).map(({ kind }) => kind))
    expect([...kinds]).toEqual([basename(path) === 'admin.token' ? 'the admin token' : 'a key-encryption key'])
  }
})

test('nothing that Rekey says has a secret: log, answers, problems, commands', () => {
  expect(readFileSync(day.log, 'utf8')).toContain('a step failed')
  none(scanner.file(day.log))
  none(day.rekey.said.flatMap(({ where, text }) => scanner.text(text, where)))
})

test('the evidence bundle has no secret', () => {
  const path = join(day.work, 'evidence.html')
  expect(statSync(path).size).toBeGreaterThan(10_000)
  none(scanner.file(path))
})

test('no process showed a secret in its arguments, nor in its environment but the one of the operator', () => {
  expect(day.looks).toBeGreaterThan(100)
  expect(day.shown.filter(({ bytes, what }) => what === 'arguments' && bytes.includes('serve')).length).toBeGreaterThan(0)
  const finds = day.shown.flatMap(({ bytes, what, name, pid }) => {
    const isOperators = what === 'environment'
    const shown = isOperators
      ? bytes
          .toString('latin1')
          .split('\0')
          .filter((each) => !each.startsWith(`${ROOT_VARIABLE}=`))
          .join('\0')
      : bytes.toString('latin1')
    return scanner.bytes(Buffer.from(shown, 'latin1'), `the ${what} of process ${pid} (${name})`)
  })
  none(finds)
  expect(day.shown.filter(({ bytes }) => bytes.includes(`${ROOT_VARIABLE}=`)).length).toBeLessThanOrEqual(3)
})

test('the targets got verifiers only: their loudest logs and their own files have no cleartext', () => {
  const cleartext = new Scanner(day.needles)
  for (const target of day.targets.folders) {
    const { finds, bytes } = cleartext.folder(target)
    expect(bytes).toBeGreaterThan(1000)
    none(finds)
  }
  const [postgres = ''] = day.targets.folders
  expect(readFileSync(join(postgres, 'log'), 'latin1')).toContain('ALTER ROLE "in_place" PASSWORD \'SCRAM-SHA-256$')
  none(cleartext.text(day.targets.monitored(), 'MONITOR of Redis'))
})

test('a consumer has the value in use in its file, at the mode it had, and nothing beside it', () => {
  const envs = readdirSync(day.work).filter((name) => name.endsWith('.env'))
  expect(envs.length).toBeGreaterThanOrEqual(7)
  for (const name of envs) {
    const path = join(day.work, name)
    const value = day.current.get(name.replace('.env', ''))
    expect(value).toMatch(/^[\w-]{32,40}$/)
    const text = readFileSync(path, 'utf8')
    const other = name === 'in_place.env' ? 'OTHER=1\n' : ''
    // The consumer of an alternating pair is told which account the value is for.
    const account = /^APP_PASSWORD_ACCOUNT=alt_[ab]\n$/m.exec(text)?.[0] ?? ''
    expect(account !== '', name).toBe(name.startsWith('alt'))
    expect(text === `${other}APP_PASSWORD=${value}\n${account}`, name).toBe(true)
    expect(statSync(path).mode & 0o777, name).toBe(name === 'in_place.env' ? 0o640 : 0o600)
  }
  // Also of a rotation that is blocked nothing lies ready: it would be made again.
  expect(readdirSync(day.work).filter((name) => name.includes('rekey-new'))).toEqual([])
  const expected = (path: string) => /\.(env|secret)$/.test(path)
  none(scanner.folder(day.work, (path) => !expected(path)).finds)
})

test('the ciphertext of dead versions is destroyed, and the evidence says so', () => {
  const dead = day.versions.filter(({ state }) => state === 'dead' || state === 'void')
  expect(dead.length).toBeGreaterThan(5)
  expect(dead.filter(({ held, shredded }) => held || !shredded)).toEqual([])
  expect(day.shreddedEvents).toBe(dead.length)
})

test('a crash leaves no core, on a machine that makes them', () => {
  const [makes, here] = [join(folder, 'cores'), day.work]
  spawnSync('/bin/sh', ['-c', 'mkdir "$0" && cd "$0" && ulimit -c unlimited && kill -ABRT $$', makes])
  const canTell = existsSync(makes) && readdirSync(makes).some((name) => name.startsWith('core'))
  if (!canTell) console.warn('this machine makes no core files in the working folder: nothing is shown by their absence')
  const cores = [...filesBelow(here), ...filesBelow(day.data)].filter((path) => /^core(\.\d+)?$/.test(basename(path)))
  expect(cores).toEqual([])
})
