-- Approvals: what somebody else must say yes to, who may, who did; and the notices that tell them.

create table approval (
  id uuid primary key,
  -- Of the closed list of actions.
  action text not null,
  -- The name of what it is about, for people.
  subject text not null,
  -- Exactly what is approved: canonical JSON (RFC 8785), as text, so that its digest can be made again.
  what text not null,
  words text not null,
  -- SHA-256 over action, subject, what and words.
  digest text not null check (digest ~ '^[0-9a-f]{64}$'),
  state text not null check (state in ('requested', 'approved', 'bypassed', 'rejected', 'withdrawn', 'expired', 'consumed')),
  requester_kind text not null,
  requester_id text not null,
  requester_identity text,
  requester_name text not null,
  -- Every principal and identity that stands behind the request: none of them decides it.
  excluded text[] not null check (cardinality(excluded) > 0),
  requested_at timestamptz not null,
  expires_at timestamptz not null check (expires_at > requested_at),
  -- When the approvers who have not decided are reminded; null: not any more.
  remind_at timestamptz,
  ended_at timestamptz,
  bypassed_by uuid,
  bypass_reason text,
  check ((bypassed_by is null) = (bypass_reason is null)),
  check (state <> 'bypassed' or bypassed_by is not null)
);
create index approval_digest on approval (digest, id) where state in ('requested', 'approved', 'bypassed');
create index approval_open on approval (expires_at) where state in ('requested', 'approved', 'bypassed');
create index approval_requester on approval (requester_id, id);
create index approval_requester_identity on approval (requester_identity, id) where requester_identity is not null;

create table approval_factor (
  approval_id uuid not null references approval,
  position smallint not null,
  team_id uuid not null,
  team_name text not null,
  count smallint not null check (count >= 1),
  aal smallint not null check (aal between 1 and 3),
  -- Whether the decision must come with a passkey's assertion over this very digest.
  passkey boolean not null,
  primary key (approval_id, position)
);

-- Who may decide, as it was when it was asked. Who joins the team later is not among them; who leaves it does not count any more.
-- No foreign key: it outlives the people.
create table approval_approver (
  approval_id uuid not null,
  position smallint not null,
  identity_id uuid not null,
  name text not null,
  primary key (approval_id, position, identity_id),
  foreign key (approval_id, position) references approval_factor
);
create index approval_approver_identity on approval_approver (identity_id, approval_id);

create table approval_decision (
  id uuid primary key,
  approval_id uuid not null references approval,
  identity_id uuid not null,
  name text not null,
  decision text not null check (decision in ('approve', 'reject')),
  reason text not null,
  -- Of the session that made it.
  aal smallint not null,
  authenticated_at timestamptz,
  -- The passkey that signed this very digest, and when.
  passkey text,
  passkey_at timestamptz,
  at timestamptz not null,
  taken_back_at timestamptz,
  check ((passkey is null) = (passkey_at is null))
);
create unique index approval_decision_one on approval_decision (approval_id, identity_id) where taken_back_at is null;

-- Which actions need approval. An action without a row needs none.
create table approval_rule (
  action text primary key,
  factors jsonb not null,
  expires_seconds integer not null check (expires_seconds between 300 and 2592000),
  changed_at timestamptz not null,
  changed_by text not null,
  reason text not null
);

-- Where notices go. The secret (the key of a webhook, the password of a mail server) is sealed under a data key of its own.
create table notify_channel (
  id uuid primary key,
  name text collate "C" not null unique check (name <> ''),
  kind text not null check (kind in ('webhook', 'smtp')),
  settings jsonb not null,
  kek_id uuid references kek,
  wrapped_key bytea,
  sealed bytea,
  created_at timestamptz not null,
  created_by text not null,
  -- Removed ones stay for their deliveries; their secret is destroyed.
  removed_at timestamptz,
  check (num_nulls(kek_id, wrapped_key, sealed) in (0, 3))
);
create index notify_channel_kek on notify_channel (kek_id) where kek_id is not null;

-- Notices that wait to be sent, and those that were. The id is the delivery id: it stays the same when one is sent again.
create table notify_delivery (
  id uuid primary key,
  channel_id uuid not null references notify_channel,
  event text not null check (event in ('requested', 'reminder', 'bypassed', 'test')),
  approval_id uuid references approval,
  -- Whom it is for; null: it is about all approvers at once.
  identity_id uuid,
  state text not null default 'waiting' check (state in ('waiting', 'sent', 'failed', 'dropped')),
  attempts integer not null default 0,
  due_at timestamptz not null default now(),
  -- Until when whoever is sending it has it for himself.
  claimed_until timestamptz,
  sent_at timestamptz,
  -- Why the last try failed, or why it was dropped, in words of our own.
  fault text,
  created_at timestamptz(3) not null default now()
);
create index notify_delivery_due on notify_delivery (due_at) where state = 'waiting';
create index notify_delivery_approval on notify_delivery (approval_id) where approval_id is not null;
