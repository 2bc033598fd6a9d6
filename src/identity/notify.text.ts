import { printable } from '../kernel/index.ts'
import type { Standing } from './approval.standing.ts'
import { OUTCOMES } from './notify.queue.ts'
import type { Claimed } from './notify.store.ts'

/**
 * What approvers and who asked are told, and by mail: who asks for what kind of thing until when, and where to look. Never what it is in
 * full.
 */
export interface Notice {
  readonly subject: string
  readonly text: string
}

const OPENINGS = {
  requested: 'Your approval is asked for.',
  reminder: 'Your approval is still asked for.',
  bypassed: 'An approval that you were asked for was bypassed. It went ahead without you.',
  approved: 'What you asked for was approved. It is not done yet: ask for it again.',
  let_through: 'The approval that you asked for was bypassed. Ask for it again to do it.',
  rejected: 'What you asked for was rejected, and is not done.',
  expired: 'What you asked for was not approved, or not done, in time.',
  review_missed: 'A review that nobody did in time waits for you.',
  closure_waits: 'A credential that Rekey cannot end by itself waits for you.',
  way_lost: 'A directory suspended the last person who could change policies, or took their role.',
  roads_left: 'Somebody has left who made ways by which others are let in, or knows a secret of them.',
  test: 'This is a test. Nothing waits for you.',
} as const

const SUBJECTS = {
  requested: 'Rekey: your approval is asked for',
  reminder: 'Rekey: your approval is still asked for',
  bypassed: 'Rekey: an approval was bypassed',
  approved: 'Rekey: what you asked for was approved',
  let_through: 'Rekey: what you asked for may be done',
  rejected: 'Rekey: what you asked for was rejected',
  expired: 'Rekey: what you asked for expired',
  review_missed: 'Rekey: a review was missed',
  closure_waits: 'Rekey: a credential waits for you',
  way_lost: 'Rekey: nobody can change policies',
  roads_left: 'Rekey: what somebody who left has made',
  test: 'Rekey: a test',
} as const

/** A mail. Its subject is one of a few fixed texts: no header holds anything that somebody wrote. */
export function mailOf({ event, about }: Pick<Claimed, 'event' | 'about'>, link: string, standing: Standing | null): Notice {
  if (about !== null) return escalationMail(event, link, about)
  if (standing === null) return { subject: SUBJECTS[event], text: `${OPENINGS[event]}\n` }
  const { row } = standing
  const lines = [
    OPENINGS[event],
    '',
    ...(isOutcome(event) ? [] : [`Who asks:  ${oneLine(row.requester_name)} (${row.requester_kind})`]),
    `For:       ${row.action} ${oneLine(row.subject)}`,
    `Until:     ${row.expires_at.toISOString()}`,
    ...(event === 'bypassed' ? [`Reason:    ${oneLine(row.bypass_reason ?? '')}`] : []),
    '',
    isOutcome(event) ? 'What was said, and what you can do now:' : 'Read exactly what it is before you decide:',
    approvalLink(link, row.id),
    '',
    'Rekey never asks for a secret by mail.',
  ]
  return { subject: SUBJECTS[event], text: `${lines.join('\n')}\n` }
}

/** The body of a webhook: the same when it is sent again. */
export function webhookBody(
  delivery: Claimed,
  link: string,
  standing: Standing | null,
  people: readonly { id: string; name: string }[],
): string {
  const { id, event, about, created_at } = delivery
  const head = { v: 1, delivery: id, event, at: created_at.toISOString() }
  if (about !== null) {
    const { people: _ids, ...what } = about
    return JSON.stringify({ ...head, about: { ...what, link: waitingLink(link) }, people })
  }
  if (standing === null) return JSON.stringify(head)
  const { row } = standing
  const approval = {
    id: row.id,
    action: row.action,
    subject: row.subject,
    digest: row.digest,
    requestedBy: { kind: row.requester_kind, id: row.requester_id, name: row.requester_name },
    expiresAt: row.expires_at.toISOString(),
    link: approvalLink(link, row.id),
  }
  return JSON.stringify({ ...head, approval, approvers: people })
}

function escalationMail(event: Claimed['event'], link: string, about: NonNullable<Claimed['about']>): Notice {
  const lines = [
    OPENINGS[event],
    '',
    ...aboutLines(event, about),
    '',
    'What to do, and everything else that waits:',
    waitingLink(link),
    '',
    'Rekey never asks for a secret by mail.',
  ]
  return { subject: SUBJECTS[event], text: `${lines.join('\n')}\n` }
}

function aboutLines(event: Claimed['event'], { id, subject, system }: NonNullable<Claimed['about']>): string[] {
  if (event === 'way_lost') return [`Taken away:  ${oneLine(subject)}`, `By:          ${oneLine(system)}`]
  if (event === 'roads_left') return [`Who left:    ${oneLine(subject)}`, `Made:        ${oneLine(system)}`]
  return [`Credential:  ${oneLine(subject)} on ${oneLine(system)}`, `${event === 'review_missed' ? 'Review:     ' : 'Closure:    '} ${id}`]
}

const isOutcome = (event: Claimed['event']) => OUTCOMES.some((one) => one === event)

/** Both are findings. */
function waitingLink(base: string): string {
  return `${base.replace(/\/+$/, '')}/findings`
}

function approvalLink(base: string, id: string): string {
  return `${base.replace(/\/+$/, '')}/approvals/${id}`
}

function oneLine(text: string): string {
  return printable(text).slice(0, 300)
}
