import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeEach, expect, test } from 'vitest'
import { freshDatabase, type TestDatabase } from '../../test/lab/database.ts'
import { watchSyncs } from '../../test/syncs.ts'
import { rewrapCredentials } from '../credential/index.ts'
import { type CredentialSpec, Engine } from '../credential/testing.ts'
import { isCode, makeCtx, newId, Secret } from '../kernel/index.ts'
import { fileKeks, findInstallationSecret, installationSecret, Keyring, kekFindings, listKeks, passphraseKeks, rotateKek } from './index.ts'

const ctx = makeCtx('test', 'test')
const folder = mkdtempSync(join(tmpdir(), 'rekey-keys-'))
const databases: TestDatabase[] = []
afterAll(async () => {
  for (const db of databases) await db.drop()
  rmSync(folder, { recursive: true, force: true })
})

let db: TestDatabase
let files: string
beforeEach(async () => {
  db = await freshDatabase()
  databases.push(db)
  files = join(folder, newId())
})

async function keyring(): Promise<Keyring> {
  const ring = new Keyring([fileKeks(files)])
  await ring.start(db.store)
  return ring
}

test('the key file is made once, 0600 in a 0700 folder, and found again', async () => {
  const first = await keyring()
  const second = await keyring()
  expect(second.activeId).toBe(first.activeId)
  const [file = ''] = readdirSync(files)
  expect(statSync(join(files, file)).mode & 0o777).toBe(0o600)
  expect(statSync(files).mode & 0o777).toBe(0o700)
})

test('a key lasts over a power cut before anything is wrapped with it', () => {
  const source = fileKeks(join(files, 'kek'))
  const synced = watchSyncs(() => void source.create('an-id'))
  const [path, kek] = [join(files, 'kek/an-id.key'), join(files, 'kek')]
  const pending = `${path}.pending`
  expect(synced).toEqual([`sync ${files}`, `sync ${folder}`, `sync ${pending}.new`, `name ${pending}`, `sync ${kek}`])
  expect(watchSyncs(() => source.settle('an-id', true))).toEqual([`name ${path}`, `sync ${kek}`])
})

test('a key that others know nothing of is kept, also one that another database on the same folder took for abandoned', async () => {
  const other = await freshDatabase()
  databases.push(other)
  const mine = fileKeks(files)
  const ring = new Keyring([
    {
      ...mine,
      create: async (id) => {
        const made = await mine.create(id)
        // With its own lock, and without our row.
        await new Keyring([fileKeks(files)]).start(other.store)
        return made
      },
    },
  ])
  await ring.start(db.store)
  const [{ id } = { id: '' }] = await listKeks(db.store)
  expect(readdirSync(files).sort()).toEqual([id, (await listKeks(other.store))[0]?.id].map((one) => `${one}.key`).sort())
  expect((await keyring()).activeId).toBe(id)
})

test('two processes that start together make one key', async () => {
  const rings = await Promise.all([keyring(), keyring(), keyring()])
  expect(new Set(rings.map((ring) => ring.activeId)).size).toBe(1)
  expect(readdirSync(files)).toHaveLength(1)
})

test('a missing, damaged, exchanged or readable key file is refused, and says what to do', async () => {
  await keyring()
  const file = join(files, readdirSync(files)[0] ?? '')
  const right = readFileSync(file, 'utf8')
  const refused = (error: unknown) => isCode(error, 'kek_unavailable')
  chmodSync(file, 0o644)
  await expect(keyring()).rejects.toSatisfy((error) => refused(error) && /chmod 600/.test((error as { hint: string }).hint))
  chmodSync(file, 0o600)
  for (const wrong of ['', 'zz', right.replace(/^../, right.startsWith('00') ? '11' : '00')]) {
    writeFileSync(file, wrong)
    await expect(keyring()).rejects.toSatisfy(refused)
  }
  rmSync(file)
  await expect(keyring()).rejects.toSatisfy(refused)
})

test('a wrapped key opens only for the row it belongs to', async () => {
  const ring = await keyring()
  const { key, wrapped, kekId } = ring.newDataKey(ring.activeId, 'row 1')
  expect((await ring.unwrap(db.store, kekId, wrapped, 'row 1')).equals(key)).toBe(true)
  await expect(ring.unwrap(db.store, kekId, wrapped, 'row 2')).rejects.toSatisfy((error) => isCode(error, 'sealed_damaged'))
})

test('a passphrase makes the key again; another one is refused; a second line still opens older keys', async () => {
  let lines = [Secret.fromText('correct horse battery')]
  const start = async () => {
    const ring = new Keyring([passphraseKeks(() => lines), fileKeks(files)])
    await ring.start(db.store)
    return ring
  }
  const first = await start()
  const made = first.newDataKey(first.activeId, 'r')
  expect((await (await start()).unwrap(db.store, made.kekId, made.wrapped, 'r')).equals(made.key)).toBe(true)
  lines = [Secret.fromText('wrong')]
  await expect(start()).rejects.toSatisfy((error) => isCode(error, 'kek_unavailable'))
  lines = [Secret.fromText('new one'), Secret.fromText('correct horse battery')]
  await rotateKek({ store: db.store, keyring: await start(), areas: [] }, ctx, { fresh: true })
  lines = [Secret.fromText('new one')]
  await expect(start()).resolves.toBeDefined()
})

test('rotating the key-encryption key re-wraps everything, destroys the old file, and goes on after a crash in the middle', async () => {
  const engine = await Engine.start({ worker: false })
  try {
    const { store, keyring: ring } = engine.parts
    const secret = Secret.fromText('root')
    const system = await engine.addSystem('s', 'postgres', { host: '127.0.0.1', port: 1, tls: 'off' }, { account: 'root', secret })
    const spec = (name: string): CredentialSpec => ({
      name,
      strategy: 'in-place',
      accounts: [name],
      current: Secret.fromText(`value of ${name}`),
    })
    for (let i = 0; i < 30; i++) await engine.addCredential(system, spec(`c${i}`))
    const before = ring.activeId
    const seed = await installationSecret(store, ring, 'some seed')
    let batches = 0
    const crash: typeof rewrapCredentials = (tx, kek, _limit, again) => {
      if (++batches === 2) throw new Error('killed here')
      return rewrapCredentials(tx, kek, 10, again).then((count) => (count === 10 ? 200 : count))
    }
    await expect(rotateKek({ store, keyring: ring, areas: [crash] }, ctx, { fresh: true })).rejects.toThrow('killed here')
    expect((await listKeks(store)).map((kek) => kek.state)).toEqual(['retiring', 'active'])
    const again = new Keyring([fileKeks(join(engine.folder, 'kek'))])
    await again.start(store)
    await rotateKek({ store, keyring: again, areas: [rewrapCredentials] }, ctx, { fresh: false })
    expect((await listKeks(store)).map((kek) => kek.state)).toEqual(['retired', 'active'])
    expect(readdirSync(join(engine.folder, 'kek'))).toEqual([`${again.activeId}.key`])
    expect(again.activeId).not.toBe(before)
    const rows = await store.query<{ id: string; kek_id: string; wrapped_key: Uint8Array }>(
      'select id, kek_id, wrapped_key from credential',
    )
    expect(new Set(rows.map((row) => row.kek_id))).toEqual(new Set([again.activeId]))
    for (const row of rows) await again.unwrap(store, row.kek_id, row.wrapped_key, `credential ${row.id} data key`)
    expect((await installationSecret(store, again, 'some seed')).equals(seed)).toBe(true)
  } finally {
    await engine.stop()
  }
})

test('a key that still wraps something is never destroyed, whatever its row says, and is emptied by the next rotation', async () => {
  for (const change of ["update kek set state = 'retired'", "update kek set state = 'retired' where state = 'retiring'"]) {
    db = await freshDatabase()
    databases.push(db)
    files = join(folder, newId())
    const ring = await keyring()
    const seed = await installationSecret(db.store, ring, 'some seed')
    if (change.includes('where')) await db.store.inTx((tx) => ring.add(tx))
    await db.store.query(change)
    const again = await keyring()
    expect(await again.destroyRetired(db.store)).toEqual([])
    expect(readdirSync(files)).toHaveLength(2)
    expect((await listKeks(db.store)).map((kek) => kek.state)).toEqual(['retiring', 'active'])
    expect((await installationSecret(db.store, again, 'some seed')).equals(seed)).toBe(true)
    await rotateKek({ store: db.store, keyring: again, areas: [] }, ctx, { fresh: false })
    expect(readdirSync(files)).toEqual([`${again.activeId}.key`])
    expect((await installationSecret(db.store, again, 'some seed')).equals(seed)).toBe(true)
  }
})

test('every table that keeps a key-encryption key refers to it, which is how what it wraps is found', async () => {
  const columns = await db.store.query<{ name: string }>(
    `select c.table_name::text as name from information_schema.columns c
      where c.table_schema = current_schema() and c.column_name = 'kek_id'
        and not exists (select 1 from pg_constraint k join pg_attribute a on a.attrelid = k.conrelid and a.attnum = k.conkey[1]
          where k.contype = 'f' and k.confrelid = 'kek'::regclass and k.conrelid = c.table_name::regclass and a.attname = 'kek_id')`,
  )
  expect(columns).toEqual([])
})

test('what is read for fsck makes nothing: no key, and no key of the installation', async () => {
  const rows = () => db.store.query('select (select count(*) from kek) as keks, (select count(*) from installation_key) as own')
  expect(await findInstallationSecret(db.store, new Keyring([fileKeks(files)]), 'some seed')).toBeNull()
  expect(await rows()).toEqual([{ keks: 0, own: 0 }])
  const seed = await installationSecret(db.store, await keyring(), 'some seed')
  await db.store.query("update kek set state = 'retired'")
  expect((await findInstallationSecret(db.store, new Keyring([fileKeks(files)]), 'some seed'))?.equals(seed)).toBe(true)
  expect(await rows()).toEqual([{ keks: 1, own: 1 }])
})

test('a key whose state was changed by hand is found, and one that no event tells of', async () => {
  const ring = await keyring()
  expect(await kekFindings(db.store)).toEqual([])
  await rotateKek({ store: db.store, keyring: ring, areas: [] }, ctx, { fresh: true })
  expect(await kekFindings(db.store)).toEqual([])
  await db.store.query("update kek set state = 'retiring' where state = 'retired'")
  expect(await kekFindings(db.store)).toMatchObject([{ what: 'It is retired by the log; the table says retiring.' }])
  await db.store.query("update kek set state = 'retired'")
  expect((await kekFindings(db.store)).map(({ what }) => what)).toEqual(['It is active by the log; the table says retired.'])
  // The start makes another one, and says so; the one that was active is found still.
  await keyring()
  expect((await kekFindings(db.store)).map(({ what }) => what)).toEqual(['It is retiring by the log; the table says retired.'])
  await db.store.query("insert into kek (id, kind, params, state) values (gen_random_uuid(), 'file', '{}', 'retired')")
  expect((await kekFindings(db.store)).map(({ what }) => what)).toContain('The table has it; the log knows nothing of it.')
})

test('a row that names a key which is retired by the log is found, whatever the table says of the key', async () => {
  const ring = await keyring()
  const old = ring.activeId
  await installationSecret(db.store, ring, 'fingerprints')
  await rotateKek({ store: db.store, keyring: ring, areas: [] }, ctx, { fresh: true })
  expect(await kekFindings(db.store)).toEqual([])
  await db.store.query('update installation_key set kek_id = $1', [old])
  const what = `By its row it is wrapped with the key ${old}, which wraps nothing any more by the log.`
  expect(await kekFindings(db.store)).toEqual([{ where: 'installation key fingerprints', what }])
  // A start makes the key retiring again, since something seems to hang on it.
  await keyring()
  await ring.destroyRetired(db.store)
  expect((await kekFindings(db.store)).map(({ where }) => where)).toEqual([`kek ${old}`, 'installation key fingerprints'])
})
