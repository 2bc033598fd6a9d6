-- One person with several identities; offboardings that wait for approval.

-- What somebody has said of two identities: that they are of one human, or that they are not although they share an address.
-- Without a row, two people whose directories or labels give one address count as one.
create table identity_pair (
  low_id uuid not null references identity on delete cascade,
  high_id uuid not null references identity on delete cascade,
  same boolean not null,
  said_at timestamptz not null,
  said_by text not null,
  reason text not null,
  primary key (low_id, high_id),
  check (low_id < high_id)
);
create index identity_pair_high on identity_pair (high_id);

-- By which the people of one address are found.
create index identity_label_email on identity_label (lower(value)) where key = 'email';

-- An offboarding that a provider ordered, is due, and waits for others' approval.
create table scim_wait (
  user_id uuid primary key references scim_user on delete cascade,
  -- The request that was made; null: none could be, for the reason in `why`.
  approval_id uuid references approval,
  why text not null,
  since timestamptz not null,
  looked_at timestamptz not null
);
create index scim_wait_approval on scim_wait (approval_id) where approval_id is not null;
