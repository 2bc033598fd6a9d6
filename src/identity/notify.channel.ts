import { append } from '../evidence/index.ts'
import { type Ctx, newId, RekeyError, type Secret } from '../kernel/index.ts'
import type { Keyring, Rewrap } from '../keys/index.ts'
import type { Allowed } from '../policy/index.ts'
import { open, seal } from '../seal/index.ts'
import type { Sql, Store, Tx } from '../store/index.ts'
import { type ChannelFields, checkChannel, WEBHOOK_KEY_BYTES } from './notify.model.ts'
import * as rows from './notify.store.ts'
import { checkText, refuse } from './record.model.ts'

/** What the use cases of channels need of the process. */
export interface ChannelParts {
  readonly store: Store
  readonly keyring: Keyring
}

/** A channel without its secret. */
export interface ChannelView {
  readonly id: string
  readonly name: string
  readonly kind: ChannelFields['kind']
  readonly settings: ChannelFields['settings']
  readonly createdAt: string
  readonly createdBy: string
}

/**
 * Adds a channel (`channel.added`). `secret` is the key of a webhook, at least 16 bytes, or the password of a mail server's user; it is
 * kept sealed, like the values of credentials. Throws `bad_input`, `conflict` if the name is taken.
 */
export async function addChannel(
  parts: ChannelParts,
  ctx: Ctx,
  _may: Allowed<'notify:configure'>,
  input: { readonly name: string; readonly secret: Secret | null } & ChannelFields,
): Promise<ChannelView> {
  const { name, secret, kind, settings } = input
  checkText('name of the channel', name)
  checkChannel(input)
  if (kind === 'webhook' && (secret === null || secret.reveal((bytes) => bytes.length) < WEBHOOK_KEY_BYTES)) {
    refuse(`The key of a webhook has at least ${WEBHOOK_KEY_BYTES} bytes.`)
  }
  if (kind === 'smtp' && (settings.user === null) !== (secret === null)) refuse('A user comes with a password, and a password with a user.')
  return parts.store.inTx(async (tx) => {
    const id = newId(ctx.clock.now().getTime())
    const kept = secret === null ? { kek_id: null, wrapped_key: null, sealed: null } : await sealed(tx, parts.keyring, id, secret)
    const row: rows.ChannelRow = { id, name, kind, settings, ...kept, created_at: ctx.clock.now(), created_by: ctx.actor }
    if (!(await rows.insertChannel(tx, row, ctx.behind))) throw new RekeyError('conflict', 'There is a channel of this name.')
    await append(tx, ctx, [
      { log: 'identity', type: 'channel.added', subject: name, links: { channel: id }, data: { kind, to: whereTo(input) } },
    ])
    return viewOf(row)
  })
}

function whereTo(fields: ChannelFields): string {
  return fields.kind === 'webhook' ? new URL(fields.settings.url).host : `${fields.settings.host}:${fields.settings.port}`
}

const keyBound = (id: string) => `notify channel ${id} key`
const valueBound = (id: string) => `notify channel ${id} secret`

async function sealed(tx: Tx, keyring: Keyring, id: string, secret: Secret) {
  const { key, wrapped, kekId } = keyring.newDataKey(await keyring.pin(tx), keyBound(id))
  return { kek_id: kekId, wrapped_key: wrapped, sealed: seal(key, secret, valueBound(id)) }
}

/** The secret of a channel; null if it has none. Throws `kek_unavailable`, `sealed_damaged`. */
export async function secretOf(sql: Sql, keyring: Keyring, { id, kek_id, wrapped_key, sealed }: rows.ChannelRow): Promise<Secret | null> {
  if (kek_id === null || wrapped_key === null || sealed === null) return null
  return open(await keyring.unwrap(sql, kek_id, wrapped_key, keyBound(id)), sealed, valueBound(id))
}

/** Wraps the channels' data keys with the active key-encryption key. */
export const rewrapChannels: Rewrap = async (tx, kekId, limit, again) => {
  const found = await rows.keysUnder(tx, kekId, limit)
  for (const { id, wrapped_key } of found) {
    const made = await again(wrapped_key, keyBound(id))
    await rows.setKey(tx, id, made.kekId, made.wrapped)
  }
  return found.length
}

/** The channels, by name. */
export async function readChannels(sql: Sql): Promise<ChannelView[]> {
  return (await rows.channels(sql)).map(viewOf)
}

/** Removes a channel (`channel.removed`): its secret is destroyed, and what waits for it is dropped. Throws `not_found`. */
export async function removeChannel(parts: ChannelParts, ctx: Ctx, _may: Allowed<'notify:configure'>, name: string): Promise<void> {
  await parts.store.inTx(async (tx) => {
    const id = await rows.retireChannel(tx, name, ctx.clock.now())
    if (id === null) noChannel()
    await append(tx, ctx, [{ log: 'identity', type: 'channel.removed', subject: name, links: { channel: id } }])
  })
}

export function noChannel(): never {
  throw new RekeyError('not_found', 'There is no such channel.', { hint: 'See rekey notify channel list.' })
}

function viewOf({ id, name, kind, settings, created_at, created_by }: rows.ChannelRow): ChannelView {
  return { id, name, kind, settings, createdAt: created_at.toISOString(), createdBy: created_by }
}
