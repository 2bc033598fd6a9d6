-- Programs of which nobody answers: found without looking at everybody.
create index identity_unowned on identity (id)
  where owner_identity_id is null and owner_team_id is null and kind <> 'human' and status <> 'offboarded';
