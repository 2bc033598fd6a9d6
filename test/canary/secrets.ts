/** Every secret that one installation ever held, opened with its own keys. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { dataKeyBound, versionBound } from '../../src/credential/targets.ts'
import { type Secret, silentLog } from '../../src/kernel/index.ts'
import { fileKeks, fingerprintKey, installationSecret, Keyring } from '../../src/keys/index.ts'
import { open } from '../../src/seal/index.ts'
import { openStore, type Store } from '../../src/store/index.ts'
import type { Needle } from './scanner.ts'

/** A connection of one's own to the embedded database of a running Rekey. */
export function openDatabase(data: string): Store {
  return openStore({
    connection: { host: join(data, 'socket'), port: 5432, user: 'rekey', database: 'rekey', ssl: false },
    max: 2,
    log: silentLog,
  })
}

/** From now on every ciphertext that a version ever has is kept beside it: Rekey destroys those of dead versions. */
export async function keepCiphertexts(store: Store): Promise<void> {
  await store.query('create schema canary')
  await store.query('create table canary.kept (version uuid, credential uuid, sealed bytea)')
  await store.query(`create function canary.keep() returns trigger language plpgsql as $$
    begin
      if new.sealed is not null then insert into canary.kept values (new.id, new.credential_id, new.sealed); end if;
      return null;
    end $$`)
  await store.query('create trigger canary after insert or update on version for each row execute function canary.keep()')
}

/** The key-encryption keys in the data folder at this moment. */
export function keksOf(data: string): Needle[] {
  const folder = join(data, 'kek')
  return readdirSync(folder).map((name) => ({
    kind: 'a key-encryption key',
    bytes: Buffer.from(readFileSync(join(folder, name), 'utf8').trim(), 'hex'),
    random: true,
  }))
}

function needle(kind: string, secret: Secret): Needle {
  return secret.reveal((bytes) => ({ kind, bytes: Uint8Array.from(bytes), random: true }))
}

interface Row {
  readonly id: string
  readonly name: string
  readonly kek_id: string
  readonly wrapped_key: Uint8Array
}

/** Every value of every version there ever was, data keys, and the keys of the installation. */
export async function secretsOf(store: Store, data: string): Promise<Needle[]> {
  const keyring = new Keyring([fileKeks(join(data, 'kek'))])
  await keyring.start(store)
  const needles: Needle[] = []
  for (const row of await store.query<Row>('select id, name, kek_id, wrapped_key from credential')) {
    const key = await keyring.unwrap(store, row.kek_id, row.wrapped_key, dataKeyBound(row.id))
    needles.push(needle(`the data key of ${row.name}`, key))
    const kept = await store.query<{ version: string; sealed: Uint8Array }>(
      'select distinct version, sealed from canary.kept where credential = $1',
      [row.id],
    )
    for (const { version, sealed } of kept) needles.push(needle(`a value of ${row.name}`, open(key, sealed, versionBound(row.id, version))))
  }
  for (const name of ['fingerprints', 'evidence signing seed'])
    needles.push(needle(`the key "${name}"`, await installationSecret(store, keyring, name)))
  needles.push(needle('the fingerprint key', fingerprintKey(await installationSecret(store, keyring, 'fingerprints'))))
  return needles
}

/** The values in use at this moment, by credential. */
export async function currentOf(store: Store, data: string): Promise<Map<string, string>> {
  const keyring = new Keyring([fileKeks(join(data, 'kek'))])
  await keyring.start(store)
  const rows = await store.query<Row & { version: string; sealed: Uint8Array }>(
    `select c.id, c.name, c.kek_id, c.wrapped_key, v.id as version, v.sealed from version v join credential c on c.id = v.credential_id
      where v.state = 'current' and v.sealed is not null`,
  )
  const values = new Map<string, string>()
  for (const row of rows) {
    const key = await keyring.unwrap(store, row.kek_id, row.wrapped_key, dataKeyBound(row.id))
    values.set(
      row.name,
      open(key, row.sealed, versionBound(row.id, row.version)).revealText((text) => text),
    )
  }
  return values
}
