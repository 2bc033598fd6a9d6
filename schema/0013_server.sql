-- Which server a system is, by its own word, and not only at which address it answers.

alter table system
  -- What the server says of itself: `facts` stay over restarts, `run` names one run of it where they do not name one server alone.
  -- Null: it was not met yet.
  add column server jsonb,
  -- When that run was first seen.
  add column server_seen_at timestamptz,
  -- At which address it was met: at another one it is what must be there, and nobody has seen yet that it is.
  add column server_at text,
  -- Grows when a human accepts another server: what the one before answered counts no more.
  add column server_epoch integer not null default 0,
  -- By a human's word a copy with accounts of its own, although it says the same of itself as another.
  add column server_apart boolean not null default false,
  -- As which account the server takes root, where that is not the declared one.
  add column root_matched text,
  -- Where probes were made: they count only while it is the same.
  add column place text not null generated always as
    (host || ':' || port::text || case server_epoch when 0 then '' else '#' || server_epoch::text end) stored;
create index system_root_matched on system (root_matched) where root_matched is not null;

-- What the value in use was answered before the rotation changed anything; `version.last_probe` is what it was answered last.
alter table rotation add column old_probe jsonb;
-- Roots that could turn out to be an account of another credential, of systems that were not met.
create index system_unmet on system (split_part(root_account, '@', 1)) where server_at is distinct from host || ':' || port;
