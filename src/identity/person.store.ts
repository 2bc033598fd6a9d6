/**
 * SQL that is true if the identity `person` is an active person who has a way to log in: a passkey other than `exceptPasskey`, or a
 * subject at a provider that is set up.
 */
export function canLogIn(person: string, exceptPasskey: string): string {
  return `(${person}.status = 'active' and ${person}.kind = 'human' and (
    exists (select 1 from passkey pk where pk.identity_id = ${person}.id and pk.id is distinct from ${exceptPasskey})
    or exists (select 1 from identity_external e join login_provider l on e.source = 'oidc:' || l.name
                 and starts_with(e.external_id, l.issuer || '|') where e.identity_id = ${person}.id)))`
}
