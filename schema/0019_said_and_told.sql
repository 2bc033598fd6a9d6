-- Who would hold directory rights and credential rights together once a proposed set counts, and by what: found when it was proposed, and
-- forced for the reason in `words`. What was found later than that does not come into force.
alter table policy_set add column both_hands jsonb not null default '[]';
