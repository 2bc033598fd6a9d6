/** Everything that can be found, with how bad it is, what to do, and the control that it falls under (OWASP NHI Top 10, 2025). */
export const FINDINGS = {
  closure_waits: {
    severity: 'high',
    control: 'NHI1',
    action: 'End it where it lives, then: rekey closure retry, or rekey closure resolve',
  },
  exception_past: { severity: 'high', control: 'NHI7', action: 'Finish what it waits for and end it: rekey exception close' },
  review_overdue: { severity: 'high', control: 'NHI1', action: 'Look at the credential, then: rekey review done' },
  handover: { severity: 'medium', control: 'NHI1', action: 'Confirm or change who answers for it: rekey identity move --owner' },
  weak_rule: {
    severity: 'medium',
    control: 'NHI6',
    action: 'Name the claims exactly: rekey issuer map, then rekey issuer unmap the old rule',
  },
  orphan: {
    severity: 'high',
    control: 'NHI1',
    action: 'Give it a living identity in the fleet file, or end it for whoever still uses it: rekey credential end',
  },
  ownerless: { severity: 'medium', control: 'NHI1', action: 'Name an owner that exists: rekey identity move --owner' },
  way_lost: {
    severity: 'high',
    control: 'NHI1',
    action: 'Let somebody administer again: rekey identity resume, or the directory gives back whom it took',
  },
  made_by_leaver: {
    severity: 'high',
    control: 'NHI1',
    action: 'See whether it is who it says, in person; else end it: rekey identity offboard',
  },
  unreachable_approver: {
    severity: 'medium',
    control: 'NHI1',
    action: 'Give a mail address: rekey identity move --label email=ADDRESS, or by the directory',
  },
  empty_team: {
    severity: 'high',
    control: 'NHI1',
    action: 'Put somebody in it who is there, or have rules ask another: rekey team change --add, rekey approval rule set',
  },
  offboarding_waits: { severity: 'high', control: 'NHI1', action: 'Approve or reject it: rekey approval list' },
  likely_double: {
    severity: 'medium',
    control: 'NHI1',
    action: 'Say whether they are one person: rekey person same, or rekey person other',
  },
  reused: { severity: 'high', control: 'NHI9', action: 'Give each identity an account and a value of its own' },
  human_use: { severity: 'high', control: 'NHI10', action: 'Take the person off the account, or give them one of their own' },
  value_refused: {
    severity: 'high',
    control: 'NHI1',
    action: 'See who changed it on the system; then rotate it, or tell its value: rekey rotation start, rekey system set-root',
  },
  irrevocable: {
    severity: 'high',
    control: 'NHI1',
    action: 'Have it ended on the system by hand, and try that it is refused: a later rotation need not do that',
  },
  unprovable: {
    severity: 'medium',
    control: 'NHI1',
    action: 'No later rotation proves it: have it tried where it was used, and see on the system that the account has one value',
  },
  overdue: { severity: 'medium', control: 'NHI7', action: 'Look at why it was not rotated: rekey rotation list --credential' },
  token_of_nobody: {
    severity: 'medium',
    control: 'NHI1',
    action: 'Rotate it, logged in, which makes it yours; or revoke it: rekey token revoke',
  },
  token_stopped: { severity: 'high', control: 'NHI1', action: 'Give its program a new text: rekey token rotate, logged in; or revoke it' },
  token_beyond_maker: {
    severity: 'medium',
    control: 'NHI5',
    action: 'Rotate it as somebody who may do what it does, or revoke it: rekey token rotate, rekey token revoke',
  },
  road_of_leaver: {
    severity: 'high',
    control: 'NHI1',
    action: 'Answer for it or end it: rekey issuer confirm, rekey login provider confirm, rekey scim provider rotate --overlap 0',
  },
  secret_of_leaver: {
    severity: 'medium',
    control: 'NHI1',
    action: 'Give it a new secret, or answer for it: rekey notify channel remove and add, or rekey notify channel confirm',
  },
  long_lived: { severity: 'medium', control: 'NHI7', action: 'Rotate it, and give it a schedule in the fleet file' },
} as const satisfies Readonly<Record<string, { severity: 'high' | 'medium' | 'low'; control: string; action: string }>>

/** A kind of finding. */
export type FindingKind = keyof typeof FINDINGS
/** The kinds, in no particular order. */
export const FINDING_KINDS = Object.keys(FINDINGS) as readonly FindingKind[]

/** A value that lives longer than this without a rotation is long-lived, days. */
export const LONG_LIVED_DAYS = 90
/** So much later than its schedule a rotation is overdue, seconds. */
export const OVERDUE_SECONDS = 3_600

/** Something that somebody should do something about. The id is stable: the same matter has the same id tomorrow. */
export interface Finding {
  readonly finding: string
  readonly kind: FindingKind
  readonly severity: 'high' | 'medium' | 'low'
  readonly control: string
  /** The name of what it is about: a credential or an identity. */
  readonly subject: string
  readonly system: string | null
  readonly identity: string | null
  /** Whom to ask. */
  readonly owner: { readonly kind: 'person' | 'team'; readonly id: string; readonly name: string }
  readonly detail: string
  readonly action: string
  readonly since: string
}
