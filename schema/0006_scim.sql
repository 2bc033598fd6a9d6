-- SCIM 2.0: which identity providers push people and groups, and what each of them sees of what it pushed.

create table scim_provider (
  id uuid primary key,
  name text collate "C" not null unique check (name <> ''),
  -- Of the identities and teams that it makes.
  tenancy text not null check (tenancy <> ''),
  -- From `active: false` or DELETE to the offboarding.
  offboard_after_seconds bigint not null check (offboard_after_seconds between 0 and 31622400),
  created_at timestamptz not null
);

-- Bearer tokens, hashed. They are in no table that /v1 looks at, and /v1's are in none that SCIM looks at.
create table scim_token (
  id uuid primary key,
  provider_id uuid not null references scim_provider,
  hash bytea not null unique,
  created_at timestamptz not null,
  -- Set when a newer one replaces it: until then both are good.
  expires_at timestamptz,
  revoked_at timestamptz,
  last_used_at timestamptz
);
create index scim_token_provider on scim_token (provider_id, id);

-- A user as its provider sees it. The identity is another thing: it outlives the user, and a user who returns after the offboarding
-- gets a new one. `resource` holds what the provider wrote, under canonical names; id, meta and groups are added when it is read.
create table scim_user (
  id uuid primary key,
  provider_id uuid not null references scim_provider,
  identity_id uuid not null references identity,
  -- As names are compared: NFKC, lower case.
  user_name_key text collate "C" not null,
  external_id text collate "C",
  -- Null: the provider took its word back; then the status stays as it was.
  active boolean,
  resource jsonb not null,
  version integer not null default 1,
  created_at timestamptz not null,
  changed_at timestamptz not null,
  -- The identity was active when the provider said false: only then is it for the provider to resume it.
  suspended boolean not null default false,
  -- When the identity will be offboarded; a reconciler looks for what is due, and `active: true` clears it.
  offboard_at timestamptz,
  -- Deleted ones stay until their identity is offboarded. Their provider sees them no more.
  deleted_at timestamptz
);
create unique index scim_user_name on scim_user (provider_id, user_name_key) where deleted_at is null;
create index scim_user_page on scim_user (provider_id, id) where deleted_at is null;
create index scim_user_external on scim_user (provider_id, external_id, id) where deleted_at is null;
create index scim_user_active on scim_user (provider_id, active, id) where deleted_at is null;
create index scim_user_changed on scim_user (provider_id, changed_at, id) where deleted_at is null;
create index scim_user_identity on scim_user (identity_id);
create index scim_user_offboard on scim_user (offboard_at) where offboard_at is not null;

create table scim_email (
  user_id uuid not null references scim_user on delete cascade,
  email_key text collate "C" not null,
  primary key (email_key, user_id)
);
create index scim_email_user on scim_email (user_id);

-- A group is a team of the record, by the team's own id, and goes with it.
create table scim_group (
  id uuid primary key references team on delete cascade,
  provider_id uuid not null references scim_provider,
  display_key text collate "C" not null,
  external_id text collate "C",
  resource jsonb not null,
  version integer not null default 1,
  member_count integer not null default 0,
  created_at timestamptz not null,
  changed_at timestamptz not null
);
create index scim_group_page on scim_group (provider_id, id);
create index scim_group_name on scim_group (provider_id, display_key, id);
create index scim_group_external on scim_group (provider_id, external_id, id);
create index scim_group_changed on scim_group (provider_id, changed_at, id);

-- Who is in a group, as its provider says: a disabled user stays a member here when the record's team no longer counts it.
create table scim_member (
  group_id uuid not null references scim_group on delete cascade,
  member_id uuid not null,
  user_id uuid references scim_user on delete cascade,
  child_id uuid references scim_group on delete cascade,
  primary key (group_id, member_id),
  check (num_nonnulls(user_id, child_id) = 1 and member_id = coalesce(user_id, child_id))
);
create index scim_member_member on scim_member (member_id, group_id);
