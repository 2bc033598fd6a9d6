/** Who is linked at their first login by an address alone: only whom nobody else can have put there, and who has nothing to take over. */
import type { IDToken } from 'openid-client'
import { append, type EvidenceEvent } from '../../evidence/index.ts'
import type { Ctx } from '../../kernel/index.ts'
import type { Tx } from '../../store/index.ts'
import { holdsByHand } from '../by-hand.ts'
import { moveIdentity } from '../lifecycle.move.ts'
import { lockPolicies } from '../policyset.store.ts'
import { lockRecord } from '../record.store.ts'
import { addressesDigest } from '../rights.story.ts'
import { fold } from '../scim/attribute.ts'
import * as rows from './oidc.store.ts'
import type { ProviderRow } from './provider.store.ts'
import { linkId, linkSource } from './provider.ts'

/** OpenID Connect Core section 2: at most 255 ASCII characters. It stands in the evidence as who acts. */
const SUBJECT = /^[\x21-\x7e]{1,255}$/

/**
 * Links the person whose address the claims bear (`login.linked_by_address`), once, where the provider was added so; else says in words for
 * the log why not. An address that came later, or by a change, links nobody: whoever has a directory's token could have put it there. The
 * directory that had it first is believed, so that a later one keeps nobody out; one that gives it to two is not. Nobody who holds anything
 * by hand is linked so: a directory gives nobody that, and its token is to take it from nobody. Where it concerns one person on record it
 * is in the evidence (`login.refused`).
 */
export async function linkByAddress(tx: Tx, ctx: Ctx, provider: ProviderRow, claims: IDToken): Promise<rows.PersonRow | string> {
  const { email, email_verified, iss, sub } = claims
  if (!provider.link_by_email || email_verified !== true || typeof email !== 'string') return 'nobody who is linked'
  const address = fold(email)
  const source = linkSource(provider)
  const judge = async () => {
    const held = SUBJECT.test(sub) ? await rows.holderOfAddress(tx, email, source) : null
    return held === null ? null : { held, why: await whyNot(tx, held) }
  }
  let judged = await judge()
  if (judged?.why === null) {
    // From here to the end nobody is given anything by hand.
    await lockPolicies(tx)
    await lockRecord(tx, 'alone')
    judged = await judge()
  }
  if (judged === null) return 'nobody who is linked, or whom a directory knows by the address'
  const { held, why } = judged
  const actor = `${source}|${sub}`
  const tell = (type: string, more: EvidenceEvent['data']) => {
    const links = { identity: held.id, login_provider: provider.id, scim_provider: held.provider_id, scim_user: held.user_id }
    const data = { provider: provider.name, directory: held.directory, address: addressesDigest(held.user_id, [address]), ...more }
    return append(tx, ctx, [{ log: 'identity', type, actor, subject: held.name, links, data }])
  }
  if (why !== null) {
    await tell('login.refused', { why })
    return `${held.name}: ${why}; link them by hand if it is them (rekey login link)`
  }
  const externalIds = [{ source, id: linkId(iss, sub) }]
  await tell('login.linked_by_address', {})
  await moveIdentity(tx, { ...ctx, actor }, held.id, { externalIds, reason: 'first login with a verified address' })
  return held
}

async function whyNot(tx: Tx, held: rows.AddressRow): Promise<string | null> {
  if (!held.active) return 'not active'
  if (held.linked) return 'linked to another subject'
  if (!held.spelled) return 'the directory spells the address otherwise'
  if (held.shared) return 'the directory gives the address to more than one'
  if (!held.first) return 'the address is not that with which the directory first pushed them'
  return (await holdsByHand(tx, held.id)) ? 'an address links nobody who holds something given by hand' : null
}
