-- People log in: identity providers, passkeys, sessions, and what slows guessing down. Every limit of time is by this database's clock.

-- An OpenID provider that people may come from. Its client secret or private key is sealed under a data key of its own.
create table login_provider (
  id uuid primary key,
  name text collate "C" not null unique check (name <> ''),
  issuer text not null unique,
  client_id text not null,
  auth text not null check (auth in ('none', 'client_secret_basic', 'client_secret_post', 'private_key_jwt')),
  kek_id uuid references kek,
  wrapped_key bytea,
  sealed bytea,
  scopes text not null,
  -- What its `acr` and `amr` values are worth: value → assurance level. A login that names none of them is worth `aal`.
  acr jsonb not null,
  amr jsonb not null,
  aal smallint not null check (aal between 1 and 2),
  max_age_seconds integer not null check (max_age_seconds between 0 and 86400),
  -- True: a person whom a directory knows by the same verified address is linked at the first login.
  link_by_email boolean not null,
  created_at timestamptz not null default now(),
  check ((auth = 'none') = (sealed is null)),
  check ((sealed is null) = (wrapped_key is null) and (sealed is null) = (kek_id is null))
);
create index login_provider_kek on login_provider (kek_id);

-- A login that is on its way to a provider and back. Only the hash of what the browser holds: state, nonce and verifier are made of that.
create table login_flow (
  browser_hash bytea primary key,
  provider_id uuid not null references login_provider on delete cascade,
  origin text not null,
  max_age_seconds integer not null,
  expires_at timestamptz not null
);
create index login_flow_expires on login_flow (expires_at);

create table passkey (
  id uuid primary key,
  identity_id uuid not null references identity on delete cascade,
  -- As the authenticator made it, base64url.
  credential_id text collate "C" not null unique,
  public_key bytea not null,
  counter bigint not null,
  transports text[] not null,
  aaguid text not null,
  -- Format of the attestation; who made it is not checked.
  attestation text not null,
  -- False: it may be synced to other devices, so it never counts as AAL3.
  device_bound boolean not null,
  backed_up boolean not null,
  rp_id text not null,
  name text not null check (name <> ''),
  created_at timestamptz not null default now(),
  last_used_at timestamptz
);
create index passkey_identity on passkey (identity_id, id);

-- A challenge is used once, by whoever it was made for: a session, or a browser that holds the cookie. `nonce` is what makes it random.
create table passkey_challenge (
  id uuid primary key,
  purpose text not null check (purpose in ('login', 'enrol', 'step_up')),
  nonce text not null,
  holder_hash bytea not null,
  identity_id uuid references identity on delete cascade,
  -- What exactly is confirmed; null: only who asks.
  action text,
  subject text,
  digest text,
  -- Of an enrolment: the name of the passkey, and the code that permits it.
  name text,
  code_hash bytea,
  origin text not null,
  rp_id text not null,
  expires_at timestamptz not null
);
create index passkey_challenge_expires on passkey_challenge (expires_at);

create table session (
  id uuid primary key,
  hash bytea not null unique,
  identity_id uuid not null references identity on delete cascade,
  aal smallint not null check (aal between 1 and 3),
  authenticated_at timestamptz not null,
  method text not null check (method in ('oidc', 'passkey')),
  provider_id uuid references login_provider on delete cascade,
  passkey_id uuid references passkey on delete cascade,
  browser text not null,
  created_at timestamptz not null default now(),
  seen_at timestamptz not null default now(),
  ends_at timestamptz not null,
  idle_seconds integer not null,
  ended_at timestamptz
);
create index session_identity on session (identity_id, id);
create index session_provider on session (provider_id) where provider_id is not null;
create index session_passkey on session (passkey_id) where passkey_id is not null;
create index session_ends on session (ends_at);

-- What a person confirmed with a passkey: one action on one subject with one content, to be used once.
create table step_up_proof (
  id uuid primary key,
  session_id uuid not null references session on delete cascade,
  identity_id uuid not null references identity on delete cascade,
  passkey_id uuid not null references passkey on delete cascade,
  action text not null,
  subject text not null,
  digest text not null,
  at timestamptz not null default now(),
  expires_at timestamptz not null,
  used_at timestamptz
);
create index step_up_proof_expires on step_up_proof (expires_at);
create index step_up_proof_session on step_up_proof (session_id);
create index step_up_proof_identity on step_up_proof (identity_id);
create index step_up_proof_passkey on step_up_proof (passkey_id);

-- Permits one person to enrol one passkey without a session.
create table enrolment_code (
  hash bytea primary key,
  identity_id uuid not null references identity on delete cascade,
  expires_at timestamptz not null
);
create index enrolment_code_identity on enrolment_code (identity_id);

-- A browser in which somebody has logged in before. It keeps its own count of failures.
create table login_device (
  id uuid primary key,
  hash bytea not null,
  identity_id uuid not null references identity on delete cascade,
  created_at timestamptz not null default now(),
  seen_at timestamptz not null default now(),
  unique (hash, identity_id)
);
create index login_device_identity on login_device (identity_id);

-- Failures in a row: of one authenticator as tried from one known browser or from all strangers together, and of one source.
create table login_counter (
  key text collate "C" primary key,
  failures integer not null,
  blocked_until timestamptz,
  changed_at timestamptz not null default now()
);
create index login_counter_changed on login_counter (changed_at);
