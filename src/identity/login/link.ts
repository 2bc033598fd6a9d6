/** Which subject of a provider a person is: said and taken back by somebody else. */
import { type Ctx, RekeyError } from '../../kernel/index.ts'
import type { Allowed, Principal } from '../../policy/index.ts'
import type { Tx } from '../../store/index.ts'
import { requireApproval, withApproval } from '../approval.gate.ts'
import type { Approvable } from '../approval.model.ts'
import { refuseOneself } from '../behind.ts'
import { dropExternalId, moveIdentity } from '../lifecycle.move.ts'
import { lockPolicies } from '../policyset.store.ts'
import { identityNamed } from '../record.list.ts'
import { checkReason, checkText } from '../record.model.ts'
import { externalIdsOf } from '../record.store.ts'
import { endSessionsAt } from '../session.ts'
import { countTokensBehind } from '../token.store.ts'
import type { LoginParts } from './model.ts'
import { type PersonRow, personLinked } from './oidc.store.ts'
import { type PasskeysOfLink, requireSaid, settlePasskeys } from './passkey.link.ts'
import { listPasskeys } from './passkey.store.ts'
import { type ProviderRow, providerNamed } from './provider.store.ts'
import { linkIds, linkSource, noProvider } from './provider.ts'
import { keepWaysIn } from './way-in.ts'

/** Of those left, as many are named in an answer. */
const PASSKEYS_SHOWN = 100

/** Which subject of which provider. */
export interface LinkInput {
  /** Name or id of the person. */
  readonly identity: string
  readonly provider: string
  readonly subject: string
  readonly reason: string
  /** What becomes of passkeys that were enrolled in logins by the link that goes. */
  readonly passkeys?: PasskeysOfLink | undefined
}

/** What an unlinking ended, and what it left. */
export interface Unlinked {
  readonly sessionsEnded: number
  readonly passkeysRemoved: number
  /** Passkeys by which the person still logs in, also those from before it was kept by what they came. */
  readonly passkeysLeft: readonly { readonly passkey: string; readonly name: string; readonly enrolledAt: Date }[]
  /** Good API tokens that this person made or stands behind: whoever came by the link may know them. */
  readonly tokensLeft: number
}

/**
 * Says which subject of a provider a person is (`identity.external_ids_changed`); sessions that began there by another one end. Whoever may
 * do this can let anybody log in as that person. A subject of somebody who was offboarded goes over to whom it is linked now, if a person
 * does it. Throws `not_found`, `conflict` if the subject is somebody else's, `bad_input` for what is no person, `forbidden` for oneself, by
 * whichever token, program or identity; `approval_required` where a rule asks for it; `wrong_state` where passkeys came by the link that
 * goes, and `passkeys` says nothing of them.
 */
export async function linkPerson(
  parts: LoginParts,
  ctx: Ctx,
  _may: Allowed<'login:configure'>,
  by: Principal,
  input: LinkInput,
): Promise<void> {
  const { reason } = input
  const provider = (await providerNamed(parts.store, input.provider)) ?? noProvider(input.provider)
  const person = await identityNamed(parts.store, input.identity)
  if (person.kind !== 'human') throw new RekeyError('bad_input', 'Only a person logs in at a provider.')
  const hint = 'Ask somebody else, not by a token or program of yours.'
  await refuseOneself(parts.store, by, [person.id], 'Nobody links a login to themselves.', hint)
  const source = linkSource(provider)
  const ids = linkIds(provider.issuer, checkText('subject', input.subject, 255))
  const externalIds = ids.slice(0, 1).map((id) => ({ source, id }))
  const isAnother = async (tx: Tx) => (await externalIdsOf(tx, person.id)).some((it) => it.source === source && !ids.includes(it.id))
  const taken = { person, source, passkeys: input.passkeys, reason }
  await withApproval(parts.store, ctx, by, async (tx) => {
    // Before others are asked to approve it.
    if (await isAnother(tx)) await requireSaid(tx, taken)
    await requireApproval(tx, ctx, linkAsked(provider, person, input))
    for (const id of ids) {
      const other = await personLinked(tx, source, id)
      if (other !== null && other.id !== person.id) await freeSubject(tx, ctx, by, other, { source, reason })
    }
    const known = await isAnother(tx)
    await moveIdentity(tx, ctx, person.id, { externalIds, reason })
    if (!known) return
    await settlePasskeys(tx, ctx, taken)
    await endSessionsAt(tx, ctx, person.id, provider.id, 'another subject linked')
  })
}

/** Linking exactly this subject, in words and as data. */
function linkAsked(
  { name, issuer }: ProviderRow,
  person: { id: string; name: string },
  { subject, reason, passkeys }: LinkInput,
): Approvable {
  return {
    action: 'login:configure',
    subject: person.name,
    what: { identity: person.id, name: person.name, provider: name, issuer, subject, reason, ...(passkeys && { passkeys }) },
    about: [person.id],
    words: [
      `Let the subject ${JSON.stringify(subject)} of the login provider ${name} (${issuer})`,
      `log in as ${JSON.stringify(person.name)} (${person.id}).`,
      'Whoever that provider says has this subject is that person here, in approvals too.',
      ...(passkeys === 'remove' ? ['Passkeys that were enrolled in logins by the subject before are removed.'] : []),
      ...(passkeys === 'keep' ? ['Passkeys that were enrolled in logins by the subject before are kept.'] : []),
      `Reason given: ${JSON.stringify(reason)}`,
    ].join('\n'),
  }
}

/** Who comes back joins as a new identity, and is known to the provider as before. */
async function freeSubject(tx: Tx, ctx: Ctx, by: Principal, from: PersonRow, { source, reason }: { source: string; reason: string }) {
  if (from.status !== 'offboarded') throw new RekeyError('conflict', 'This subject is linked to somebody else.')
  requirePerson(by)
  await dropExternalId(tx, ctx, from.id, source, reason)
}

/** That somebody who comes back is who was here before, a human says and answers for. */
function requirePerson({ kind }: Principal): void {
  if (kind === 'person') return
  throw new RekeyError('forbidden', 'This subject is that of somebody who was offboarded: only a person says that they came back.', {
    hint: 'Log in, and do it yourself.',
  })
}

/**
 * Says that a person is no subject of a provider any more (`identity.external_ids_changed`), and ends the sessions that they began there,
 * and as `passkeys` says the passkeys that came by it; resolves with what was ended, and what is left. Also for a provider that was
 * removed, and, by a person, for somebody who was offboarded: the subject can then be
 * linked to another identity. Throws `not_found` for whom there is no link of; `forbidden`, also for who would remove passkeys of their own
 * so; `wrong_state` where passkeys came by it and nothing is said of them, or if nobody would be
 * left who could let others in (`keepWaysIn`).
 */
export async function unlinkPerson(
  { store, policies }: LoginParts,
  ctx: Ctx,
  _may: Allowed<'login:configure'>,
  by: Principal,
  input: Omit<LinkInput, 'subject'>,
): Promise<Unlinked> {
  const { reason, passkeys } = input
  checkReason(reason)
  const person = await identityNamed(store, input.identity)
  if (person.status === 'offboarded') requirePerson(by)
  if (passkeys === 'remove' && by.identity === person.id) {
    throw new RekeyError('forbidden', 'Nobody removes passkeys of their own so.', { hint: 'Keep them, and see rekey passkey remove.' })
  }
  const source = linkSource({ name: input.provider })
  return store.inTx(async (tx) => {
    await lockPolicies(tx)
    const { removed, sessions } = await keepWaysIn(tx, ctx, policies, async () => {
      if (await dropExternalId(tx, ctx, person.id, source, reason)) return settlePasskeys(tx, ctx, { person, source, passkeys, reason })
      throw new RekeyError('not_found', 'This person is linked to no subject of such a provider.', { hint: 'See rekey identity show.' })
    })
    const provider = await providerNamed(tx, input.provider)
    const ended = provider === null ? 0 : await endSessionsAt(tx, ctx, person.id, provider.id, 'unlinked')
    const left = (await listPasskeys(tx, person.id, null, PASSKEYS_SHOWN)).map(({ id, name, created_at }) => {
      return { passkey: id, name, enrolledAt: created_at }
    })
    const tokensLeft = await countTokensBehind(tx, person.id)
    return { sessionsEnded: ended + sessions, passkeysRemoved: removed, passkeysLeft: left, tokensLeft }
  })
}
