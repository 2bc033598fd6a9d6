-- What exists: systems, identities, credentials, their versions and consumers. And rotations, which move a credential on.

create table system (
  id uuid primary key,
  name text not null unique,
  connector text not null,
  host text not null,
  port integer not null,
  database text,
  tls text not null check (tls in ('off', 'require', 'verify-full')),
  -- The path that fleet.yaml names, which a diff compares, and the PEM text, which connectors use.
  ca_file text,
  ca text,
  root_account text not null,
  concurrent integer not null check (concurrent between 1 and 64),
  -- Given up by a human: nothing on it is rotated any more, and its root secret is destroyed when its time has come.
  decommissioned_at timestamptz,
  created_at timestamptz not null default now()
);

create table identity (
  id uuid primary key,
  name text not null unique,
  kind text not null check (kind in ('human', 'workload', 'machine', 'agent')),
  owner text not null check (owner <> ''),
  purpose text not null check (purpose <> ''),
  environment text not null check (environment <> ''),
  created_at timestamptz not null default now()
);

-- `purpose` root: the system's own root credential, which belongs to Rekey and not to an identity of the directory.
create table credential (
  id uuid primary key,
  name text not null unique,
  system_id uuid not null references system,
  identity_id uuid references identity,
  is_root boolean not null default false,
  strategy text not null check (strategy in ('in-place', 'alternating', 'dual')),
  accounts text[] not null check (cardinality(accounts) = case strategy when 'alternating' then 2 else 1 end),
  every_seconds bigint check (every_seconds > 0),
  grace_seconds bigint not null default 0 check (grace_seconds >= 0),
  -- The data key, wrapped. One per credential: destroying it destroys every version's ciphertext at once.
  kek_id uuid not null references kek,
  wrapped_key bytea not null,
  next_rotation_at timestamptz,
  created_at timestamptz not null default now(),
  check (is_root or identity_id is not null)
);
create index credential_system on credential (system_id);
create index credential_identity on credential (identity_id);
create index credential_kek on credential (kek_id);
create index credential_due on credential (next_rotation_at) where next_rotation_at is not null;
create unique index credential_root on credential (system_id) where is_root;

create table account (
  system_id uuid not null references system,
  name text not null,
  credential_id uuid not null references credential on delete cascade,
  primary key (system_id, name)
);
create index account_credential on account (credential_id);

create table version (
  id uuid primary key,
  credential_id uuid not null references credential on delete cascade,
  number integer not null,
  account text not null,
  -- staged: stored, not on the target; current: the one in use; previous: replaced, not yet proven dead;
  -- dead: proven; void: never or no longer installed (undone, regenerated); unprovable: value unknown; irrevocable: nobody can revoke it
  state text not null check (state in ('staged', 'current', 'previous', 'dead', 'void', 'unprovable', 'irrevocable')),
  -- Null once shredded, or never known (a takeover's old value).
  sealed bytea,
  fingerprint text,
  created_at timestamptz not null default now(),
  installed_at timestamptz,
  revoked_at timestamptz,
  effective_dead_at timestamptz,
  proved_dead_at timestamptz,
  shred_after timestamptz,
  shredded_at timestamptz,
  last_probe jsonb,
  unique (credential_id, number),
  -- At no committed moment two current versions; deferred, because old and new change in one statement.
  constraint version_one_current exclude using btree (credential_id with =) where (state = 'current') deferrable initially deferred
);
create index version_shred on version (shred_after) where shred_after is not null and shredded_at is null;

create table consumer (
  id uuid primary key,
  credential_id uuid not null references credential on delete cascade,
  name text not null,
  file_path text,
  file_key text,
  activation text not null check (activation in ('session', 'report', 'none')),
  unique (credential_id, name)
);

create table rotation (
  id uuid primary key,
  credential_id uuid not null references credential,
  -- The credential's, kept here so that claiming looks at one table.
  system_id uuid not null references system,
  -- Rotations started together.
  batch_id uuid not null,
  state text not null,
  -- Where a blocked rotation goes on.
  blocked_from text,
  reason text not null,
  started_by text not null,
  old_version_id uuid references version,
  new_version_id uuid references version,
  old_account text not null,
  new_account text not null,
  grace_seconds bigint not null,
  -- The step whose target call is open: set before the call, cleared with what was observed.
  attempt_step text,
  attempt_opened_at timestamptz,
  tries integer not null default 0,
  regenerations integer not null default 0,
  mark text,
  retire_mark text,
  sessions_ended integer,
  activation_override jsonb,
  problem jsonb,
  created_at timestamptz not null default now(),
  staged_at timestamptz,
  installed_at timestamptz,
  verified_at timestamptz,
  distributed_at timestamptz,
  activated_at timestamptz,
  retired_at timestamptz,
  proved_dead_at timestamptz,
  ended_at timestamptz,
  blocked_at timestamptz,
  gap_ms double precision,
  -- When sessions of logins that were under way at the change are looked for once more; null: not, or done.
  recheck_at timestamptz,
  -- Null: waits for nobody and is not due (ended or blocked).
  due_at timestamptz default now(),
  lease_until timestamptz,
  -- Which process: host, boot, pid namespace, pid and its start, so that a dead one on this host is known at once.
  lease_by text,
  lease_epoch integer not null default 0
) with (fillfactor = 60);
-- Moves within one claim touch no indexed column (heap-only updates): state stands in no index, not even in a condition.
-- One live rotation per credential, and so per account or alternating pair.
create unique index rotation_one_live on rotation (credential_id) where ended_at is null;
create index rotation_due on rotation (system_id, due_at) where due_at is not null;
create index rotation_batch on rotation (batch_id);
create index rotation_recheck on rotation (recheck_at) where recheck_at is not null;
create index rotation_blocked on rotation (blocked_at) where blocked_at is not null;
create index rotation_leased on rotation (lease_until) where lease_until is not null;
create index rotation_credential on rotation (credential_id, id);

create table activation (
  rotation_id uuid not null references rotation on delete cascade,
  consumer_name text not null,
  how text not null check (how in ('session', 'report')),
  seen_at timestamptz not null default now(),
  primary key (rotation_id, consumer_name)
);

create table challenge (
  id uuid primary key,
  consumer_id uuid not null references consumer on delete cascade,
  nonce bytea not null,
  expires_at timestamptz not null,
  used_at timestamptz
);
create index challenge_expires on challenge (expires_at);

-- Claims due rotations: at most `room`, and at most `concurrent` of each system, counting those that other processes hold. A function,
-- because each of its statements sees what was committed before it (read committed), so the limit is counted after the lock is held,
-- in one round trip. Systems with due rows are found by skipping through the index, not by reading the queue. A lost claim costs
-- nothing but its lease, hence no wait for the disk.
create function claim_rotations(room int, lease_ms float8, holder text) returns setof uuid language plpgsql as $$
begin
  perform set_config('synchronous_commit', 'off', true);
  perform pg_advisory_xact_lock(7395004);
  return query
    with recursive due_system as (
      (select system_id from rotation where due_at is not null order by system_id limit 1)
      union all
      select (select r.system_id from rotation r where r.due_at is not null and r.system_id > d.system_id order by r.system_id limit 1)
        from due_system d where d.system_id is not null),
    busy as (select system_id, count(*)::int as held from rotation where lease_until > now() group by system_id),
    chosen as (
      select picked.id from due_system d
        join system s on s.id = d.system_id
        left join busy b on b.system_id = d.system_id
        cross join lateral (
          select r.id, r.due_at from rotation r
           where r.system_id = d.system_id and r.due_at <= now() and (r.lease_until is null or r.lease_until <= now())
           order by r.due_at limit greatest(0, s.concurrent - coalesce(b.held, 0))) picked
       order by picked.due_at limit room)
    update rotation r
       set lease_until = clock_timestamp() + make_interval(secs => lease_ms / 1000), lease_epoch = lease_epoch + 1, lease_by = holder
      from chosen where r.id = chosen.id returning r.id;
end
$$;
