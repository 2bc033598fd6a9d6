-- Keys, tokens, idempotency. Evidence is 0002, the inventory 0003.

-- Key-encryption keys. `params` says how to get the key (file: its check value; passphrase: salt and cost), never the key itself.
create table kek (
  id uuid primary key,
  kind text not null check (kind in ('file', 'passphrase')),
  params jsonb not null,
  state text not null check (state in ('active', 'retiring', 'retired')),
  created_at timestamptz not null default now()
);
create unique index kek_one_active on kek (state) where state = 'active';

create table api_token (
  id uuid primary key,
  name text not null,
  role text not null check (role in ('admin')),
  hash bytea not null unique,
  created_at timestamptz not null default now(),
  revoked_at timestamptz
);

-- One row per Idempotency-Key: the answer is kept, so that a repeated request gets the same one and starts nothing.
create table idempotency (
  token_id uuid not null references api_token,
  key text not null,
  request text not null,
  status integer,
  answer jsonb,
  created_at timestamptz not null default now(),
  primary key (token_id, key)
);
create index idempotency_created on idempotency (created_at);

-- Keys of the installation itself, wrapped like any other: the fingerprint key and the seed that signs evidence.
create table installation_key (
  name text primary key,
  kek_id uuid not null references kek,
  wrapped bytea not null
);
