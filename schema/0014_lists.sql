-- Pages of a label and of a team are read from these indexes alone, and so are the sets of their bearers and members.
drop index identity_label_page;
create index identity_label_page on identity_label (key, value, identity_name) include (identity_id);
drop index team_member_page;
create index team_member_page on team_member (team_id, identity_name) include (identity_id);

-- Who showed that they hold the new value, if it was a person: a value of a program is none for people. Null: a program, or nobody knows.
alter table activation add column by_person uuid;

-- What waits for a human is told by the same outbox as approvals: about a review that nobody did, or a credential that Rekey cannot end.
alter table notify_delivery
  drop constraint notify_delivery_event_check,
  add constraint notify_delivery_event_check
    check (event in ('requested', 'reminder', 'bypassed', 'test', 'review_missed', 'closure_waits')),
  -- Names and an id, no secret; null: it is about an approval, or a test.
  add column about jsonb,
  add constraint notify_delivery_about check ((about is not null) = (event in ('review_missed', 'closure_waits')));
