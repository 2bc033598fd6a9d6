import { append } from '../../evidence/index.ts'
import { type Ctx, RekeyError, Secret } from '../../kernel/index.ts'
import type { Allowed, Policies, Principal } from '../../policy/index.ts'
import { randomSecret, sha256Hex } from '../../seal/index.ts'
import type { Sql, Tx } from '../../store/index.ts'
import { requireApproval, withApproval } from '../approval.gate.ts'
import type { Approvable } from '../approval.model.ts'
import { makersBy } from '../behind.ts'
import * as rows from '../code.store.ts'
import { boundFor } from '../delegate.ts'
import { joinIdentity } from '../lifecycle.join.ts'
import { lockPolicies } from '../policyset.store.ts'
import { findIdentity } from '../record.list.ts'
import { lockRecord } from '../record.store.ts'
import { codeDigest } from '../rights.story.ts'
import { addBinding } from '../role.store.ts'
import { principalOfToken } from '../tokens.ts'
import type { LoginParts } from './model.ts'

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

/**
 * Whose code this is: it is good now, its person active, and so is everybody who made it, and they may still make administrators. Null for
 * any other.
 */
export async function holderOfCode({ policies }: LoginParts, sql: Sql, ctx: Ctx, hashHex: string): Promise<CodeHolder | null> {
  const row = await rows.codeByHash(sql, hashHex)
  if (row === null) return null
  const maker = await makerNow(sql, ctx, row)
  return maker !== null && couldMake(policies, ctx, maker) ? { id: row.identity, name: row.name } : null
}

/** Uses a code up. The person, and who made it, stay locked to the end of the transaction. */
export async function takeCode(parts: LoginParts, tx: Tx, ctx: Ctx, hashHex: string): Promise<CodeHolder | null> {
  await rows.lockCodePeople(tx, hashHex)
  const holder = await holderOfCode(parts, tx, ctx, hashHex)
  return holder !== null && (await rows.deleteCode(tx, hashHex)) ? holder : null
}

/** Who made a code, with what they hold now. How fresh a login was, was looked at when they made it. */
function makerNow(sql: Sql, ctx: Ctx, { kind, id }: Pick<rows.CodeMaker, 'kind' | 'id'>): Promise<Principal | null> {
  if (kind === 'token') return principalOfToken(sql, ctx, id)
  return boundFor(sql, id, ctx.clock.now(), { scope: null, environments: null })
}

const PERSON = { type: 'identity', id: 'new', kind: 'human', environment: 'none' } as const

function couldMake(policies: Policies, ctx: Ctx, by: Principal): boolean {
  if (!by.roles.includes(ROLE)) return false
  const may = (action: 'login:configure' | 'role:bind') => policies.explain(ctx, by, action).allowed
  return may('login:configure') && may('role:bind') && policies.explain(ctx, by, 'identity:join', PERSON).allowed
}

/** Who asks, as the maker of a code. Throws `forbidden` for a program that has no API token: its proof is gone before the code is used. */
function makerOf(by: Principal, session: string | null): rows.CodeMaker {
  if (by.kind !== 'person' && by.kind !== 'token') {
    throw new RekeyError('forbidden', 'Only people and API tokens make administrators.', { hint: 'Log in, or use a token.' })
  }
  return { kind: by.kind, id: by.id, makers: makersBy(by) ?? [], session }
}

/**
 * Makes a local administrator for an installation without an identity provider: a person who holds the role of the first token, and a
 * one-time code by which they enrol a passkey (`identity.joined`, `role.forced`, `role.bound`, `enrolment_code.made`). Again, for one who
 * was made so and whom nobody has ever been: another code in place of the one before. `session`: of the person who asks.
 *
 * Who makes one is given the code, so nobody gets more by it than they have: it takes the rights to join people and to bind roles, and
 * that role itself. The code is good only while they have them, and are active. Throws `forbidden`, `step_up_required`; `conflict` if
 * the name is taken otherwise; `approval_required` where a rule asks for it of `role:bind`, for another code too.
 */
export async function bootstrapAdmin(
  { store, policies }: LoginParts,
  ctx: Ctx,
  _may: Allowed<'login:configure'>,
  asker: { readonly principal: Principal; readonly session: string | null },
  name: string,
): Promise<NewCode> {
  const { principal: by, session } = asker
  policies.allow(ctx, by, 'identity:join', PERSON)
  policies.allow(ctx, by, 'role:bind')
  if (!by.roles.includes(ROLE)) throw new RekeyError('forbidden', 'Only who has this role can give it so.')
  const maker = makerOf(by, session)
  const code = newCode()
  return withApproval(store, ctx, by, async (tx) => {
    await lockPolicies(tx)
    // An approval is used up under this lock, and nothing weaker may be taken before it.
    await lockRecord(tx, 'alone')
    const before = await madeBefore(tx, name, maker)
    await requireApproval(tx, ctx, bootstrapAsked(by, name, before))
    const identity = before ?? (await makeAdmin(tx, ctx, name))
    await rows.putBootstrapPerson(tx, identity, maker.makers)
    const expiresAt = await rows.insertCode(tx, sha256Hex(code), identity, maker, CODE_SECONDS)
    const data = { makers: [...maker.makers], digest: codeDigest(sha256Hex(code)), expiresAt: expiresAt.toISOString() }
    await append(tx, ctx, [{ log: 'identity', type: 'enrolment_code.made', subject: name, links: { identity }, data }])
    return { identity, name, code: grouped(code), expiresAt }
  })
}

/** Making exactly this administrator, or another code for it, in words and as data; also to whom the code is shown. */
function bootstrapAsked({ id, kind, name: asker }: Principal, name: string, identity: string | null): Approvable {
  return {
    action: 'role:bind',
    subject: ROLE,
    what: { role: ROLE, to: 'identity', name, identity, code: { kind, to: id } },
    about: identity === null ? [] : [identity],
    words: [
      identity === null
        ? `Make a new person called ${JSON.stringify(name)} with the role ${ROLE}.`
        : `Make another code for ${JSON.stringify(name)} (${identity}), who has the role ${ROLE} and has never logged in.`,
      'Directory rights and credential rights then come together in one hand.',
      `The code by which one becomes this person is shown to the ${kind} ${JSON.stringify(asker)} (${id}).`,
    ].join('\n'),
  }
}

/**
 * Somebody of this name who was made so and waits for a first login; null if nobody has the name. Where somebody has put that person into
 * a team, and so relies on who it is, only who made the first code gets another. Throws `conflict` for anybody else.
 */
async function madeBefore(tx: Tx, name: string, { makers }: rows.CodeMaker): Promise<string | null> {
  const present = await findIdentity(tx, name)
  if (present === null) return null
  const waiting = await rows.lockWaiting(tx, present.id)
  const taken = `There is an identity called ${name} already.`
  if (waiting === null) {
    throw new RekeyError('conflict', taken, { hint: 'Choose another name; who is there already logs in at a provider (rekey login link).' })
  }
  const again = [...waiting.makers].sort().join() === [...makers].sort().join()
  if (again || !waiting.known) return present.id
  throw new RekeyError('conflict', `${taken} It was made by somebody else, and is in a team.`, {
    hint: 'Take it out of its teams first, or let who made it ask for another code.',
  })
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
