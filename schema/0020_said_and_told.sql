-- Who would hold directory rights and credential rights together once a proposed set counts, and by what: found when it was proposed, and
-- forced for the reason in `words`. What was found later than that does not come into force.
alter table policy_set add column both_hands jsonb not null default '[]';

-- Who asked for an approval is told what became of it, by the same outbox.
alter table notify_delivery
  drop constraint notify_delivery_event_check,
  add constraint notify_delivery_event_check
    check (event in ('requested', 'reminder', 'bypassed', 'test', 'review_missed', 'closure_waits',
                     'approved', 'rejected', 'expired', 'let_through'));

-- Suspended by a directory, and with them went the last way to change policy. Whether that is still so is asked of the roles at each look.
create table way_lost (
  identity_id uuid primary key references identity on delete cascade,
  provider text not null,
  since timestamptz not null
);

alter table notify_delivery
  drop constraint notify_delivery_event_check,
  add constraint notify_delivery_event_check
    check (event in ('requested', 'reminder', 'bypassed', 'test', 'review_missed', 'closure_waits', 'way_lost',
                     'approved', 'rejected', 'expired', 'let_through')),
  drop constraint notify_delivery_about,
  add constraint notify_delivery_about check ((about is not null) = (event in ('review_missed', 'closure_waits', 'way_lost')));

-- SHA-256 of a secret that whoever showed the token first sent with it: with the same one it counts again. Null: it counts once.
alter table proof_seen add column holder bytea;
