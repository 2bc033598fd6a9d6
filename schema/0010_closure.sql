-- What becomes of credentials whose identity is suspended or leaves; exceptions and their reviews.

-- Stopped by a closure, for a while or for good: no rotation is started meanwhile.
alter table credential add column closed_at timestamptz;
-- Somebody said that the value is out: it is never given back.
alter table version
  add column leaked_at timestamptz,
  add column leaked_reason text,
  add constraint version_leaked check ((leaked_at is null) = (leaked_reason is null));
-- "What could authenticate right now", and values that several credentials share.
create index version_usable on version (id) where state in ('staged', 'current', 'previous', 'irrevocable', 'unprovable');
create index version_same on version (fingerprint, credential_id)
  where fingerprint is not null and state in ('staged', 'current', 'previous', 'irrevocable');
create index version_irrevocable on version (id) where state in ('irrevocable', 'unprovable');
create index version_lasting on version (id) where state = 'current';
create index credential_overdue on credential (id) where next_rotation_at is not null;
create index account_name on account (name);

-- Of one identity. No foreign key to it: the record of an end outlives what ended.
create table closure (
  id uuid primary key,
  identity_id uuid not null,
  identity_name text not null,
  -- Null: all credentials of the identity; else this one alone (a review that nobody did).
  credential_id uuid,
  goal text not null check (goal in ('suspend', 'resume', 'destroy')),
  state text not null,
  reason text not null,
  started_by text not null,
  -- Not destroyed before.
  destroy_at timestamptz,
  created_at timestamptz not null default now(),
  changed_at timestamptz not null default now(),
  ended_at timestamptz
);
create unique index closure_one_live on closure (identity_id) where ended_at is null and credential_id is null;
create unique index closure_one_live_credential on closure (credential_id) where ended_at is null and credential_id is not null;
create index closure_live on closure (id) where ended_at is null;
create index closure_identity on closure (identity_id, id);

-- Of one credential within a closure.
create table closure_item (
  id uuid primary key,
  closure_id uuid not null references closure,
  credential_id uuid not null references credential on delete cascade,
  credential_name text not null,
  -- The credential's, kept here so that claiming looks at one table.
  system_id uuid not null,
  way text not null check (way in ('suspend', 'rotate', 'hand_over')),
  -- Why this way, in words, and who else uses it.
  why text not null,
  consumers text[] not null default '{}',
  state text not null,
  -- Where a blocked one, or one that was handed to a human, goes on.
  blocked_from text,
  -- What was found before anything was touched: accounts that may log in, and what a login with each version was answered.
  found jsonb,
  rotation_id uuid references rotation on delete set null,
  -- The step whose target call is open: set before the call, cleared with what was observed.
  attempt_step text check (attempt_step in ('suspend', 'resume', 'destroy')),
  attempt_opened_at timestamptz,
  tries integer not null default 0,
  problem jsonb,
  human_kind text check (human_kind in ('person', 'team')),
  human_id uuid,
  human_name text,
  sessions_ended integer not null default 0,
  created_at timestamptz not null default now(),
  suspended_at timestamptz,
  resumed_at timestamptz,
  destroyed_at timestamptz,
  proved_dead_at timestamptz,
  blocked_at timestamptz,
  ended_at timestamptz,
  -- Grows when the closure changes its goal: a run that did not see it leaves the item due.
  nudge integer not null default 0,
  -- Null: waits for nobody and is not due.
  due_at timestamptz default now(),
  lease_until timestamptz,
  lease_by text,
  lease_epoch integer not null default 0
);
create unique index closure_item_one_live on closure_item (credential_id) where ended_at is null;
create index closure_item_of on closure_item (closure_id, id);
create index closure_item_due on closure_item (system_id, due_at) where due_at is not null;
create index closure_item_leased on closure_item (lease_until) where lease_until is not null;
create index closure_item_rotation on closure_item (rotation_id) where rotation_id is not null and ended_at is null;
create index closure_item_blocked on closure_item (blocked_at) where blocked_at is not null;

-- As `claim_rotations`: at most `room`, and at most `concurrent` of each system, counting those that other processes hold.
create function claim_closure_items(room int, lease_ms float8, holder text) returns setof uuid language plpgsql as $$
begin
  perform set_config('synchronous_commit', 'off', true);
  perform pg_advisory_xact_lock(7395018);
  return query
    with recursive due_system as (
      (select system_id from closure_item where due_at is not null order by system_id limit 1)
      union all
      select (select i.system_id from closure_item i where i.due_at is not null and i.system_id > d.system_id order by i.system_id limit 1)
        from due_system d where d.system_id is not null),
    busy as (select system_id, count(*)::int as held from closure_item where lease_until > now() group by system_id),
    chosen as (
      select picked.id from due_system d
        join system s on s.id = d.system_id
        left join busy b on b.system_id = d.system_id
        cross join lateral (
          select i.id, i.due_at from closure_item i
           where i.system_id = d.system_id and i.due_at <= now() and (i.lease_until is null or i.lease_until <= now())
           order by i.due_at limit greatest(0, s.concurrent - coalesce(b.held, 0))) picked
       order by picked.due_at limit room)
    update closure_item i
       set lease_until = clock_timestamp() + make_interval(secs => lease_ms / 1000), lease_epoch = lease_epoch + 1, lease_by = holder
      from chosen where i.id = chosen.id returning i.id;
end
$$;

-- What is not as it should be and is known: with an owner, a reason, an end and what it waits for.
create table exception (
  id uuid primary key,
  kind text not null check (kind in ('shared_account', 'vendor_managed', 'static_key')),
  credential_id uuid not null references credential on delete cascade,
  -- Who shares it, beside the credential's own identity: identity ids.
  users uuid[] not null default '{}',
  owner_kind text not null check (owner_kind in ('person', 'team')),
  owner_id uuid not null,
  owner_name text not null,
  reason text not null check (reason <> ''),
  waits_for text not null check (waits_for <> ''),
  ends_at timestamptz not null,
  review_every_seconds bigint not null check (review_every_seconds > 0),
  on_missed text not null check (on_missed in ('escalate', 'suspend')),
  created_by text not null,
  created_at timestamptz not null default now(),
  closed_at timestamptz,
  closed_by text,
  closed_reason text
);
create unique index exception_one_open on exception (credential_id, kind) where closed_at is null;
create index exception_open on exception (id) where closed_at is null;
create index exception_end on exception (ends_at) where closed_at is null;

-- A look at a credential that somebody must take in time.
create table review (
  id uuid primary key,
  credential_id uuid not null references credential on delete cascade,
  exception_id uuid references exception on delete cascade,
  why text not null check (why in ('shared_account', 'vendor_managed', 'static_key', 'break_glass')),
  on_missed text not null check (on_missed in ('escalate', 'suspend')),
  due_at timestamptz not null,
  created_at timestamptz not null default now(),
  missed_at timestamptz,
  done_at timestamptz,
  done_by text,
  outcome text check (outcome in ('keep', 'end')),
  note text
);
create unique index review_one_open on review (credential_id, why) where done_at is null;
create index review_open on review (id) where done_at is null;
create index review_due on review (due_at) where done_at is null and missed_at is null;
create index review_credential on review (credential_id, why, done_at);

-- Who is entitled to an account that belongs to somebody else.
create index entitlement_account on entitlement (system, account);
create index identity_emergency on identity (id) where recovery_class = 'emergency';
