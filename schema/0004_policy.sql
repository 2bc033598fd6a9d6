-- Who holds which role, and the policies in force. Rights come from roles only: a token has none of its own any more.

-- A role is a name that policies ask for. Its holder is a team by its immutable id, an identity, or a token.
create table role_binding (
  id uuid primary key,
  role text not null,
  subject_kind text not null check (subject_kind in ('team', 'identity', 'token')),
  subject_id uuid not null,
  created_at timestamptz not null default now(),
  created_by text not null,
  reason text not null,
  unique (subject_kind, subject_id, role)
);

insert into role_binding (id, role, subject_kind, subject_id, created_by, reason)
select gen_random_uuid(), 'bootstrap-admin', 'token', id, 'migration', 'held the role admin before there were policies' from api_token;
alter table api_token drop column role;

-- Keys of repeated requests belong to whoever asks, with a token or without.
alter table idempotency drop constraint idempotency_token_id_fkey;

-- Whole sets of policies, as texts. `default`: what the program brings; each server uses its own. `own`: proposed here.
create table policy_set (
  id uuid primary key,
  origin text not null check (origin in ('default', 'own')),
  state text not null check (state in ('proposed', 'active', 'replaced')),
  files jsonb not null,
  digest text not null,
  -- The set that was active when this one was proposed: if another one is by now, what was approved is not what would change.
  base_digest text,
  words text not null,
  proposed_at timestamptz not null default now(),
  -- Every principal that stands behind the proposal, so that none of them approves it: its id, its identity, and for whom it acted.
  proposed_by text not null,
  proposers text[] not null,
  activated_at timestamptz,
  activated_by text,
  bypass_reason text
);
create unique index policy_set_one_active on policy_set (state) where state = 'active';
create index policy_set_proposed on policy_set (proposed_at);
