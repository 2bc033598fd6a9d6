-- A root value that somebody changed by hand was proven dead: a login with it that was under way then is looked for when it has had
-- its time.
create table root_recheck (
  -- The version that died.
  version_id uuid primary key references version on delete cascade,
  system_id uuid not null references system on delete cascade,
  -- Of the target, taken after the new value was accepted: sessions before it are of the old one.
  mark text not null,
  due_at timestamptz not null
);
create index root_recheck_due on root_recheck (due_at);

-- Values in use that their system refuses: a finding.
create index version_value_refused on version (id) where state = 'current' and last_probe ->> 'outcome' = 'refused';
