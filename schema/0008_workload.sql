-- Proof of programs: API tokens with limits and an end, and the issuers whose signed tokens count.

alter table api_token
  -- Whose it is. No foreign key: a token whose identity is gone is refused, and must not keep the identity from going.
  add column identity_id uuid,
  -- True: it holds what the roles of its identity hold at the moment, beside its own.
  add column follows_identity boolean not null default false,
  -- For whom its agent acts.
  add column acts_for_id uuid,
  -- Null: not limited. Empty would be nothing at all, and is refused.
  add column scope text[] check (cardinality(scope) > 0),
  add column environments text[] check (cardinality(environments) > 0),
  -- Null: the token of the first start only.
  add column expires_at timestamptz,
  -- To the minute; written in batches.
  add column last_used_at timestamptz,
  add column created_by text not null default 'setup',
  -- The one that took its place.
  add column replaced_by uuid references api_token,
  add column revoked_by text,
  add column revoke_reason text,
  -- It was the last way in, and somebody took it away all the same: no start makes another one.
  add column forced boolean not null default false,
  -- When the server itself tried it after its end, and it was refused.
  add column proven_dead_at timestamptz,
  add constraint api_token_follows check (not follows_identity or identity_id is not null);
create index api_token_name on api_token (name);
create index api_token_identity on api_token (identity_id) where identity_id is not null;
create index api_token_acts_for on api_token (acts_for_id) where acts_for_id is not null;
create index api_token_unproven on api_token (id) where proven_dead_at is null;

create table issuer (
  id uuid primary key,
  name text collate "C" not null unique check (name <> ''),
  type text not null check (type in ('oidc', 'kubernetes', 'ci', 'spiffe')),
  -- What `iss` must be; of type spiffe the trust domain.
  origin text not null unique check (origin <> ''),
  -- What `aud` must name: us.
  audience text not null check (audience <> ''),
  keys_from text not null check (keys_from in ('discovery', 'url', 'inline')),
  jwks_url text,
  jwks jsonb,
  algorithms text[] not null check (cardinality(algorithms) > 0),
  max_token_age_seconds integer not null check (max_token_age_seconds between 1 and 86400),
  clock_skew_seconds integer not null check (clock_skew_seconds between 0 and 300),
  -- How long keys count that were not fetched again: a key that was taken away is refused after this time at the latest.
  keys_max_age_seconds integer not null check (keys_max_age_seconds between 30 and 3600),
  -- once: every token has a `jti` and counts once. jti: once where it has one. age: as often as its age allows.
  replay text not null check (replay in ('once', 'jti', 'age')),
  created_at timestamptz not null,
  created_by text not null,
  check ((keys_from = 'url') = (jwks_url is not null)),
  check ((keys_from = 'inline') = (jwks is not null))
);

-- Which claims stand for which identity. No foreign key to it: a rule whose identity is gone lets nobody in.
create table issuer_rule (
  id uuid primary key,
  issuer_id uuid not null references issuer on delete cascade,
  -- subject: the claims of the token. actor: those of its `act` claim (RFC 8693 section 4.1).
  part text not null check (part in ('subject', 'actor')),
  identity_id uuid not null,
  claims jsonb not null,
  -- Claims that need only begin so: a weakness, and shown as one.
  prefixes jsonb not null,
  scope text[] check (cardinality(scope) > 0),
  environments text[] check (cardinality(environments) > 0),
  acts_for_id uuid,
  -- The claims say that the key of a bound token lies in hardware.
  hardware boolean not null,
  created_at timestamptz not null,
  created_by text not null,
  check (claims <> '{}' or prefixes <> '{}')
);
create index issuer_rule_issuer on issuer_rule (issuer_id, id);

-- Tokens and proofs that count once, until they would be too old anyway. By hash: nothing of them is kept.
create table proof_seen (
  source text not null,
  hash bytea not null,
  expires_at timestamptz not null,
  primary key (source, hash)
);
create index proof_seen_expired on proof_seen (expires_at);
