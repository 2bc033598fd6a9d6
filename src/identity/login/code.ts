import { append } from '../../evidence/index.ts'
import { type Ctx, RekeyError, Secret } from '../../kernel/index.ts'
import type { Allowed, Principal } from '../../policy/index.ts'
import { randomSecret, sha256Hex } from '../../seal/index.ts'
import type { Sql, Tx } from '../../store/index.ts'
import { joinIdentity } from '../lifecycle.join.ts'
import { lockPolicies } from '../policyset.store.ts'
import { findIdentity } from '../record.list.ts'
import { codeDigest } from '../rights.story.ts'
import { addBinding } from '../role.store.ts'
import type { LoginParts } from './model.ts'
import { passkeysOf } from './passkey.store.ts'

/** External binding codes without an identifier: 112 bits at least, ten minutes at most, once (NIST SP 800-63B-4 section 4.1.2.2). */
const CODE_BYTES = 20
const CODE_SECONDS = 600
/** Crockford's base32: no letter that is read as another. 160 bits are 32 of them. */
const LETTERS = '0123456789ABCDEFGHJKMNPQRSTVWXYZ'
const CODE = /^[0-9A-HJKMNP-TV-Z]{32}$/
const GROUP = /.{4}(?=.)/g
const ROLE = 'bootstrap-admin'
/** Who says that such a person exists. */
const SOURCE = 'bootstrap'

/** A person who may enrol by code. */
export interface CodeHolder {
  readonly id: string
  readonly name: string
}

/** A code in the clear: its only copy. */
export interface NewCode {
  readonly identity: string
  readonly name: string
  readonly code: Secret
  readonly expiresAt: Date
}

function newCode(): Secret {
  return randomSecret(CODE_BYTES).reveal((bytes) => {
    const bits = [...bytes].map((byte) => byte.toString(2).padStart(8, '0')).join('')
    const letters = (bits.match(/.{5}/g) ?? []).map((five) => LETTERS[Number.parseInt(five, 2)]).join('')
    return Secret.fromText(letters)
  })
}

/** As it is shown: in groups of four. */
function grouped(code: Secret): Secret {
  return code.revealText((text) => Secret.fromText(text.replace(GROUP, '$&-')))
}

/** By which a code is looked up, however it was typed; null for what is no code. */
export function hashOfCode(typed: string): string | null {
  const letters = typed.toUpperCase().replaceAll(/[\s-]/g, '').replaceAll('O', '0').replaceAll(/[IL]/g, '1')
  return CODE.test(letters) ? sha256Hex(Secret.fromText(letters)) : null
}

/** Whose code this is, if it is good now and its person active. */
export async function holderOfCode(sql: Sql, hashHex: string): Promise<CodeHolder | null> {
  const [row] = await sql.query<CodeHolder>(
    `select i.id, i.name from enrolment_code c join identity i on i.id = c.identity_id
      where c.hash = decode($1, 'hex') and c.expires_at > now() and i.status = 'active' and i.kind = 'human'`,
    [hashHex],
  )
  return row ?? null
}

/** Uses a code up. The person stays locked to the end of the transaction. */
export async function takeCode(tx: Tx, hashHex: string): Promise<CodeHolder | null> {
  const holder = await holderOfCode(tx, hashHex)
  if (holder === null) return null
  const [person] = await tx.query<CodeHolder>("select id, name from identity where id = $1 and status = 'active' for share", [holder.id])
  const gone = await tx.query("delete from enrolment_code where hash = decode($1, 'hex') and expires_at > now() returning hash", [hashHex])
  return gone.length === 1 ? (person ?? null) : null
}

/**
 * Makes a local administrator for an installation without an identity provider: a person who holds the role of the first token, and a
 * one-time code by which they enrol a passkey (`identity.joined`, `role.forced`, `role.bound`, `enrolment_code.made`). Again, for one who
 * was made so and has no passkey yet: another code in place of the one before.
 *
 * Who makes one is given the code, so nobody gets more by it than they have: it takes the rights to join people and to bind roles, and
 * that role itself. Throws `forbidden`, `step_up_required`; `conflict` if the name is taken otherwise.
 */
export async function bootstrapAdmin(
  { store, policies }: LoginParts,
  ctx: Ctx,
  _may: Allowed<'login:configure'>,
  by: Principal,
  name: string,
): Promise<NewCode> {
  policies.allow(ctx, by, 'identity:join', { type: 'identity', id: 'new', kind: 'human', environment: 'none' })
  policies.allow(ctx, by, 'role:bind')
  if (!by.roles.includes(ROLE)) throw new RekeyError('forbidden', 'Only who has this role can give it so.')
  const code = newCode()
  return store.inTx(async (tx) => {
    await lockPolicies(tx)
    const identity = (await madeBefore(tx, name)) ?? (await makeAdmin(tx, ctx, name))
    await tx.query('delete from enrolment_code where identity_id = $1 or expires_at < now()', [identity])
    const [row] = await tx.query<{ expires_at: Date }>(
      `insert into enrolment_code (hash, identity_id, expires_at) values (decode($1, 'hex'), $2, now() + make_interval(secs => $3))
       returning expires_at`,
      [sha256Hex(code), identity, CODE_SECONDS],
    )
    const expiresAt = row?.expires_at ?? ctx.clock.now()
    const data = { digest: codeDigest(sha256Hex(code)), expiresAt: expiresAt.toISOString() }
    await append(tx, ctx, [{ log: 'identity', type: 'enrolment_code.made', subject: name, links: { identity }, data }])
    return { identity, name, code: grouped(code), expiresAt }
  })
}

async function madeBefore(tx: Tx, name: string): Promise<string | null> {
  const present = await findIdentity(tx, name)
  if (present === null) return null
  const waits = present.source === SOURCE && present.status === 'active' && (await passkeysOf(tx, present.id)).length === 0
  if (waits) return present.id
  throw new RekeyError('conflict', `There is an identity called ${name} already.`, { hint: 'Choose another name.' })
}

async function makeAdmin(tx: Tx, ctx: Ctx, name: string): Promise<string> {
  const identity = await joinIdentity(tx, ctx, { name, kind: 'human', source: SOURCE })
  const reason = 'local administrator of an installation without an identity provider'
  const binding = await addBinding(tx, ctx, { role: ROLE, kind: 'identity', id: identity, reason })
  const links = { identity, ...(binding === null ? {} : { binding }) }
  await append(tx, ctx, [
    { log: 'identity', type: 'role.forced', subject: ROLE, links, data: { to: 'identity', name, reason } },
    { log: 'identity', type: 'role.bound', subject: ROLE, links, data: { to: 'identity', name, reason } },
  ])
  return identity
}
