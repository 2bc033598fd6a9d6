-- Who would hold directory rights and credential rights together once a proposed set counts, and by what: found when it was proposed, and
-- forced for the reason in `words`. What was found later than that does not come into force.
alter table policy_set add column both_hands jsonb not null default '[]';

-- Who asked for an approval is told what became of it, by the same outbox.
alter table notify_delivery
  drop constraint notify_delivery_event_check,
  add constraint notify_delivery_event_check
    check (event in ('requested', 'reminder', 'bypassed', 'test', 'review_missed', 'closure_waits',
                     'approved', 'rejected', 'expired', 'let_through'));
