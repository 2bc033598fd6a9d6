import { append } from '../evidence/index.ts'
import { type Ctx, messageOf, newId, RekeyError, sleep } from '../kernel/index.ts'
import type { Keyring } from '../keys/index.ts'
import type { Allowed } from '../policy/index.ts'
import type { Store } from '../store/index.ts'
import { NEXT_APPROVAL } from './approval.model.ts'
import { type Standing, standingOf } from './approval.standing.ts'
import { approversOf, findApproval } from './approval.store.ts'
import { sweepApprovals } from './approval.sweep.ts'
import { noChannel, secretOf } from './notify.channel.ts'
import { isMailAddress, SendFault, type SmtpSettings, type WebhookSettings } from './notify.model.ts'
import { NOTIFY_CHANNEL, OUTCOMES } from './notify.queue.ts'
import { type Guard, sendMail, sendWebhook } from './notify.send.ts'
import * as rows from './notify.store.ts'
import { mailOf, webhookBody } from './notify.text.ts'

/** What sending needs of the process. */
export interface NotifyParts {
  readonly store: Store
  readonly keyring: Keyring
  readonly guard: Guard
}

/** Notices claimed at once: each may take its whole time limit, and the claim must outlast them. */
const AT_ONCE = 8
const LOOK_EVERY_MS = 2_000
const SWEEP_EVERY_MS = 5_000

/**
 * Sends what is due, once around. Each notice is claimed, sent, and marked, in this order: a process that dies between sending and marking
 * sends again, with the same delivery id (at least once). Resolves with how many it dealt with. Never rejects for what the other side does.
 */
export async function sendDue(parts: NotifyParts, ctx: Ctx): Promise<number> {
  const claimed = await rows.claimDue(parts.store, AT_ONCE)
  await Promise.all(claimed.map((delivery) => deliver(parts, ctx, delivery)))
  return claimed.length
}

/** Sends one claimed notice and writes down what came of it. Resolves with the fault, null if it was sent or not needed any more. */
async function deliver(parts: NotifyParts, ctx: Ctx, delivery: rows.Claimed): Promise<string | null> {
  try {
    const dropped = await sendOne(parts, ctx, delivery)
    if (dropped === null) await rows.markSent(parts.store, delivery.id)
    else await rows.markDropped(parts.store, delivery.id, dropped)
    return null
  } catch (error) {
    // The text of a fault of ours is our own; anything else might quote what was sent.
    const fault = error instanceof SendFault ? error.message : error instanceof RekeyError ? error.code : 'a fault of Rekey'
    await fail(parts.store, ctx, delivery, fault, error instanceof SendFault && error.final)
    return fault
  }
}

async function fail(store: Store, ctx: Ctx, delivery: rows.Claimed, fault: string, final: boolean): Promise<void> {
  const state = await store.inTx(async (tx) => {
    const state = await rows.markFault(tx, delivery, fault, final)
    if (state !== 'failed') return state
    const links = { delivery: delivery.id, ...(delivery.approval_id === null ? {} : { approval: delivery.approval_id }) }
    await append(tx, ctx, [
      { log: 'identity', type: 'notice.failed', subject: delivery.event, links, data: { fault, identity: delivery.identity_id } },
    ])
    return state
  })
  ctx.log.warn({ delivery: delivery.id, attempt: delivery.attempts, fault, state }, 'a notice could not be sent')
}

/** Resolves with null if it was sent, else with why it is not needed any more. Throws `SendFault`. */
export async function sendOne({ store, keyring, guard }: NotifyParts, ctx: Ctx, delivery: rows.Claimed): Promise<string | null> {
  const channel = await rows.channelById(store, delivery.channel_id)
  if (channel === null) return 'the channel was removed'
  const standing = await standingFor(store, ctx, delivery)
  if (standing === 'over') return 'the request is not open any more'
  const secret = await secretOf(store, keyring, channel)
  if (channel.kind === 'webhook') {
    if (secret === null) throw new SendFault('the webhook has no key', true)
    const settings = channel.settings as WebhookSettings
    const people =
      delivery.about !== null ? await rows.namesOf(store, delivery.about.people) : await askedOf(store, standing, delivery.event)
    await sendWebhook(guard, ctx, settings, secret, { delivery: delivery.id, body: webhookBody(delivery, settings.link, standing, people) })
    return null
  }
  const settings = channel.settings as SmtpSettings
  const to = delivery.identity_id === null ? { name: '', email: settings.from } : await rows.mailbox(store, delivery.identity_id)
  if (to === null) return 'the person is not active any more'
  if (to.email === null) throw new SendFault('the person has no mail address', true)
  if (!isMailAddress(to.email)) throw new SendFault('the mail address of the person is not one', true)
  await sendMail(guard, settings, secret, { delivery: delivery.id, to: to.email, ...mailOf(delivery, settings.link, standing) })
  return null
}

/** The request that a notice is about, null for none; `over` where nobody needs to hear of it any more. */
async function standingFor(store: Store, ctx: Ctx, { approval_id, event, identity_id }: rows.Claimed): Promise<Standing | null | 'over'> {
  if (approval_id === null) return null
  const row = await findApproval(store, approval_id)
  if (row === null) return 'over'
  const standing = await standingOf(store, ctx, row)
  if (event === 'bypassed' || event === 'rejected' || event === 'expired') return standing
  // Used, taken back or withdrawn meanwhile: who asked has nothing to go on with.
  if (event === 'approved' || event === 'let_through') return NEXT_APPROVAL[standing.state].includes('consumed') ? standing : 'over'
  const waits = identity_id === null || undecided(standing).has(identity_id)
  return standing.state === 'requested' && waits ? standing : 'over'
}

/** Eligible now, and without a decision. */
function undecided({ eligible, decisions }: Standing): Set<string> {
  const decided = new Set(decisions.flatMap((one) => (one.taken_back_at === null ? [one.identity_id] : [])))
  return new Set(eligible.map(({ identity }) => identity).filter((one) => !decided.has(one)))
}

function askedOf(store: Store, standing: Standing | null, event: rows.Claimed['event']) {
  return standing === null ? [] : whom(store, standing, event)
}

async function whom(store: Store, standing: Standing, event: rows.Claimed['event']): Promise<{ id: string; name: string }[]> {
  if (OUTCOMES.some((one) => one === event)) return []
  const names = new Map((await approversOf(store, standing.row.id)).map(({ identity, name }) => [identity, name]))
  const ids = event === 'bypassed' ? [...names.keys()] : [...undecided(standing)]
  return ids.sort().map((id) => ({ id, name: names.get(id) ?? '' }))
}

/** Sends a test through a channel, now: to the webhook, or to the sender's own address. Resolves with what was wrong, null if nothing. */
export async function testChannel(parts: NotifyParts, ctx: Ctx, _may: Allowed<'notify:configure'>, name: string): Promise<string | null> {
  const channel = (await rows.channelNamed(parts.store, name)) ?? noChannel()
  const delivery = (await rows.insertTest(parts.store, newId(ctx.clock.now().getTime()), channel.id)) ?? noChannel()
  return deliver(parts, ctx, delivery)
}

/**
 * Sends notices, and brings requests to what time made of them, until stopped. Takes no input: the rows say what is due; a notification
 * makes it look sooner. Any number of processes may.
 */
export async function runNotifier(parts: NotifyParts, ctx: Ctx): Promise<void> {
  let nudged = new AbortController()
  const unlisten = await parts.store.listen(NOTIFY_CHANNEL, () => nudged.abort())
  let nextSweepMs = 0
  while (!ctx.signal.aborted) {
    nudged = new AbortController()
    try {
      if (ctx.clock.monotonicMs() >= nextSweepMs) {
        nextSweepMs = ctx.clock.monotonicMs() + SWEEP_EVERY_MS
        await sweepApprovals(parts.store, ctx)
      }
      if ((await sendDue(parts, ctx)) >= AT_ONCE) continue
    } catch (error) {
      ctx.log.warn({ error: messageOf(error) }, 'notices could not be looked for, trying again')
    }
    await sleep(LOOK_EVERY_MS, AbortSignal.any([ctx.signal, nudged.signal]))
  }
  await unlisten()
}
