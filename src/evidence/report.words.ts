import type { EventBody } from './event.ts'

/** How a rotation stood at its last event. */
export type Ending = 'proven dead' | 'not provable' | 'undone' | 'taken over' | 'blocked' | 'irrevocable' | 'under way'

/** What the report says of an ending. */
interface EndingWords {
  readonly tone: 'good' | 'bad' | 'wait'
  /** Under the number of rotations that stand so. */
  readonly figure: string
  /** One sentence, for who has never read about Rekey. */
  readonly meaning: string
}

/** Every ending, in the order in which the report counts them. */
export const ENDINGS: { readonly [ending in Ending]: EndingWords } = {
  'proven dead': {
    tone: 'good',
    figure: 'old values proven dead',
    meaning: 'The old value was refused and the new one accepted at the same moment, and no session of the old one was left.',
  },
  'not provable': {
    tone: 'bad',
    figure: 'replaced, death not provable',
    meaning: 'A new value is in use. The old one was not known, or never seen to work, so nothing shows that it is dead.',
  },
  irrevocable: { tone: 'bad', figure: 'cannot be revoked', meaning: 'Nobody could take the old value away: it may still work.' },
  blocked: {
    tone: 'bad',
    figure: 'blocked, wait for a human',
    meaning: 'It stopped and waits for a human. Nothing is claimed of the old value.',
  },
  undone: {
    tone: 'wait',
    figure: 'undone, old value in use',
    meaning: 'It was taken back: the old value is the one in use, or the account was left as it was. The new one is not in use.',
  },
  'taken over': {
    tone: 'wait',
    figure: 'taken over by a closure',
    meaning: 'Its account was ended as a whole, since its identity left: what became of its values is told there.',
  },
  'under way': {
    tone: 'wait',
    figure: 'under way',
    meaning: 'It had not ended when this was signed. Nothing is claimed of the old value.',
  },
}

/** What people read for an event, by its type. A type that is not here is shown as it is: the record may be of a later version. */
const WORDS = new Map([
  ['closure.opened', 'Credentials of an identity are being ended'],
  ['closure.settled', 'Credentials of an identity stand otherwise as a whole'],
  ['closure.turned', 'What the credentials of an identity come to was changed'],
  ['approval.approved', 'Enough people approved'],
  ['approval.bypassed', 'Let through without the approvals asked for'],
  ['approval.consumed', 'Approval used up by what was approved'],
  ['approval.decided', 'Somebody approved or rejected'],
  ['approval.expired', 'Request for approval expired'],
  ['approval.fell_short', 'An approval counts no more: too few are left'],
  ['approval.rejected', 'Request for approval rejected'],
  ['approval.requested', 'Approval asked for'],
  ['approval.rule_removed', 'An action needs no approval any more'],
  ['approval.rule_set', 'Who must approve an action was set'],
  ['approval.taken_back', 'Own approval taken back'],
  ['approval.withdrawn', 'Request for approval withdrawn'],
  ['channel.added', 'Channel for notices added'],
  ['channel.confirmed', 'Somebody else answers for a channel for notices'],
  ['channel.removed', 'Channel for notices removed'],
  ['consumer.proof_refused', 'A consumer’s proof was wrong and refused'],
  ['consumer.reported', 'Consumer proved that it has the new value'],
  ['credential.added', 'Credential entered in the inventory'],
  ['credential.changed', 'Inventory entry changed'],
  ['credential.removed', 'Credential removed from the inventory'],
  ['enrolment_code.made', 'One-time code made by which a person enrols a passkey'],
  ['exception.declared', 'Exception put on record'],
  ['exception.ended', 'Exception ended'],
  ['fleet.applied', 'Fleet file applied'],
  ['identity_change.handled', 'A change of status was acted on'],
  ['identity.added', 'Identity entered'],
  ['identity.changed', 'Identity changed'],
  ['identity.entitlements_changed', 'Entitlements of an identity changed'],
  ['identity.external_ids_changed', 'Ids that others know an identity by changed'],
  ['identity.handed_over', 'Identity handed to another owner, since its own went'],
  ['identity.joined', 'Identity joined'],
  ['identity.labels_changed', 'Labels of an identity changed'],
  ['identity.left', 'Identity left'],
  ['identity.other_person', 'Two identities said to be of different people'],
  ['identity.stood_behind', 'Who answered for a program is remembered: they may know its token'],
  ['identity.same_person', 'Two identities said to be of one person'],
  ['identity.moved', 'Identity moved: what the record says of it changed'],
  ['identity.offboarded', 'Identity offboarded'],
  ['identity.offboarding_cancelled', 'Due offboarding cancelled'],
  ['identity.offboarding_scheduled', 'Offboarding scheduled'],
  ['identity.owner_resolved', 'Declared owner found on record'],
  ['identity.removed', 'Identity removed'],
  ['identity.barred', 'Identity kept suspended by a person'],
  ['identity.roads_left', 'Somebody left who made ways by which others are let in'],
  ['identity.way_lost', 'A directory suspended the last person who could change policies, or took their role'],
  ['identity.resume_refused', 'Identity not resumed: a person keeps it suspended'],
  ['identity.resumed', 'Identity resumed'],
  ['identity.suspended', 'Identity suspended'],
  ['issuer.added', 'Issuer of signed tokens trusted'],
  ['issuer.confirmed', 'Somebody else answers for an issuer of signed tokens'],
  ['issuer.mapped', 'Claims of an issuer stand for an identity'],
  ['issuer.removed', 'Issuer of signed tokens not trusted any more'],
  ['issuer.unmapped', 'Claims of an issuer do not stand for an identity any more'],
  ['kek.created', 'Key-encryption key made'],
  ['kek.rotated', 'Key-encryption key replaced and retired'],
  ['login.linked_by_address', 'A verified address linked a person to a login'],
  ['login.refused', 'Login refused although its proof was good'],
  ['login_provider.added', 'Login provider added'],
  ['login_provider.confirmed', 'Somebody else answers for a login provider'],
  ['login_provider.removed', 'Login provider removed'],
  ['mover.settled', 'What a mover left behind was settled'],
  ['notice.failed', 'A notice could not be delivered'],
  ['override.recorded', 'A human decided what could not be seen'],
  ['passkey.counter_regressed', 'A copy of a passkey was used, and refused'],
  ['passkey.enrolled', 'Passkey enrolled'],
  ['passkey.locked', 'Passkey locked after too many failures in a row'],
  ['passkey.kept', 'Passkey left to its person, though the link by which they came in when they enrolled it was taken back'],
  ['passkey.removed', 'Passkey removed'],
  ['logins.blocked', 'Stopped on the way, waits for a human'],
  ['logins.destroyed', 'Every value taken from the account, its sessions ended'],
  ['logins.destroying', 'The end of the account’s logins begins'],
  ['logins.handed_over', 'Handed to a human: Rekey cannot end it'],
  ['logins.irrevocable', 'Nobody can revoke it'],
  ['logins.not_provable', 'Account ended: whether its value was right is not known'],
  ['logins.planned', 'What becomes of a credential was decided'],
  ['logins.proven_dead', 'Value proven dead, without a successor'],
  ['logins.resumed', 'Logins given back, the same value works'],
  ['logins.resuming', 'Logins are being given back'],
  ['logins.retried', 'Tried again from where it stopped'],
  ['logins.rotated', 'Rotated, because others use it'],
  ['logins.rotating', 'Is being rotated, because others use it'],
  ['logins.suspended', 'Logins stopped, sessions ended'],
  ['logins.suspending', 'Logins are being stopped'],
  ['policy.activated', 'Policies came into force'],
  ['policy.approved', 'Policies approved'],
  ['policy.bypassed', 'Policies brought into force without approval'],
  ['policy.proposed', 'Policies proposed'],
  ['role.bound', 'Role given'],
  ['role.forced', 'Directory and credential rights put in one hand, by force'],
  ['role.unbound', 'Role taken away'],
  ['review.done', 'Review done'],
  ['review.missed', 'Review not done in time'],
  ['review.opened', 'Review opened'],
  ['root.refused', 'Root value told was not taken'],
  ['root.set', 'Root value told is in use'],
  ['root.tried', 'Root value told, to be tried'],
  ['rotation.activated', 'No consumer is waited for any more'],
  ['rotation.blocked', 'Blocked: waits for a human'],
  ['rotation.distributed', 'New value handed to its consumers'],
  ['rotation.installed', 'New value installed on the system'],
  ['rotation.irrevocable', 'Old value cannot be revoked'],
  ['rotation.parked', 'Held where it stands: its logins are being stopped'],
  ['rotation.taken_over', 'Ended, since a closure ends the whole account'],
  ['rotation.unparked', 'Goes on: its logins were given back'],
  ['rotation.not_provable', 'Ended: death of the old value not provable'],
  ['rotation.planned', 'Rotation ordered'],
  ['rotation.proven_dead', 'Old value proven dead'],
  ['rotation.rechecked', 'Looked once more for sessions of the old value'],
  ['rotation.value_refused', 'The value in use is refused, and the system did not let it be put back'],
  ['root.rechecked', 'Looked once more for sessions of a root value that was changed by hand'],
  ['rotation.set_back', 'A session of before had set a value on the account again; it was replaced once more, and the session ended'],
  ['rotation.regenerated', 'Value refused by the system’s policy; another one made'],
  ['rotation.retired', 'Old value taken away, its sessions ended'],
  ['rotation.retiring', 'Retirement of the old value begins'],
  ['rotation.retried', 'Tried again by order'],
  ['rotation.staged', 'New value made and stored, encrypted'],
  ['rotation.undo_requested', 'Undo ordered'],
  ['rotation.undoing', 'Old value is being put back'],
  ['rotation.undone', 'Undone: the old value is in use'],
  ['rotation.verified', 'Login with the new value accepted'],
  ['scim_user.dropped', 'User of a directory forgotten'],
  ['scim_user.stands', 'How a directory sees a person was kept'],
  ['scim_provider.added', 'Identity provider added'],
  ['scim_provider.revoked', 'Tokens of an identity provider revoked'],
  ['scim_provider.token_rotated', 'New token made for an identity provider'],
  ['session.ended', 'Session ended'],
  ['session.started', 'Person logged in'],
  ['step_up.confirmed', 'Person confirmed one act with a passkey'],
  ['system.added', 'System entered in the inventory'],
  ['system.changed', 'System changed'],
  ['system.decommissioned', 'System decommissioned'],
  ['system.server_accepted', 'Another server accepted as the system'],
  ['system.server_seen', 'System met, and which server it is'],
  ['system.removed', 'System removed from the inventory'],
  ['team.changed', 'Team changed'],
  ['team.created', 'Team made'],
  ['team.kept', 'Team emptied and kept: its directory deleted the group, and something depends on it'],
  ['team.members_changed', 'Members of a team changed'],
  ['team.removed', 'Team removed'],
  ['token.created', 'Access token made'],
  ['token.proven_dead', 'Access token tried after its end, and refused'],
  ['token.revoked', 'Access token revoked'],
  ['token.rotated', 'Access token given a new text'],
  ['version.declared', 'Value in use declared'],
  ['version.irrevocable', 'Given up while it was accepted'],
  ['version.leaked', 'Somebody said that the value is out'],
  ['version.not_provable', 'Given up: whether it is dead cannot be proven'],
  ['version.probed', 'Login tried, to see whether the value still works'],
  ['version.shredded', 'Stored ciphertext of a value destroyed'],
  ['version.tried', 'Login with the value in use, before any change'],
])

/** The types that have words. */
export const WORDED: ReadonlySet<string> = new Set(WORDS.keys())

/** What people read for an event of this type. */
export function wordsOf(type: string): string {
  return WORDS.get(type) ?? type
}

const ENDED = new Map<string, Ending>([
  ['rotation.proven_dead', 'proven dead'],
  ['rotation.not_provable', 'not provable'],
  ['rotation.blocked', 'blocked'],
  ['rotation.undone', 'undone'],
  ['rotation.irrevocable', 'irrevocable'],
  ['rotation.taken_over', 'taken over'],
])
/** What is told of a rotation and does not move it; it may come after its end. */
const BESIDE: readonly string[] = [
  'rotation.rechecked',
  'rotation.set_back',
  'rotation.value_refused',
  'rotation.regenerated',
  'rotation.parked',
  'rotation.unparked',
]

/** How a rotation stands after an event; `null` if the event does not move it. */
export function endingAfter({ type, data }: EventBody): Ending | null {
  if (type === 'override.recorded') return data.kind === 'irrevocable' ? 'irrevocable' : 'under way'
  if (!type.startsWith('rotation.') || BESIDE.includes(type)) return null
  return ENDED.get(type) ?? 'under way'
}
