-- Evidence: two append-only logs over one table of events. An event is written by the transaction that changes the state; a
-- sequencer later gives it its place in the tree. Nothing here is ever changed or deleted: triggers refuse it.

create table evidence_event (
  id bigint generated always as identity primary key,
  log text not null check (log in ('identity', 'credential')),
  -- Place in the tree, from 0 and without holes; null until sequenced. Ids may become visible out of order, indexes never do.
  leaf_index bigint check (leaf_index >= 0),
  -- Copies out of the body, for finding events; `rekey fsck` compares them.
  subject text not null,
  at timestamptz not null,
  -- Canonical JSON (RFC 8785). Text, not jsonb: the leaf hash is over these very bytes.
  body text not null
);
create unique index evidence_event_leaf on evidence_event (log, leaf_index) where leaf_index is not null;
create index evidence_event_unsequenced on evidence_event (log, id) where leaf_index is null;
create index evidence_event_subject on evidence_event (subject, leaf_index);

-- Roots of perfect subtrees: level 0 holds the leaf hashes (RFC 6962).
create table evidence_node (
  log text not null,
  level smallint not null,
  index bigint not null,
  hash bytea not null check (length(hash) = 32),
  primary key (log, level, index)
);

-- What was published: signed tree heads, one for each batch and log.
create table evidence_checkpoint (
  log text not null,
  size bigint not null check (size > 0),
  root bytea not null check (length(root) = 32),
  note text not null,
  at timestamptz not null,
  primary key (log, size)
);

-- The public half of the key that signs this database's evidence: one row, made with the first checkpoint. The seed is an
-- installation key (0001).
create table evidence_key (
  one boolean primary key default true check (one),
  name text not null,
  public_key bytea not null check (length(public_key) = 32),
  created_at timestamptz not null default now()
);

create function evidence_refuse() returns trigger language plpgsql as $$
begin
  raise exception 'evidence is append-only: % on % is refused', tg_op, tg_table_name using errcode = 'restrict_violation';
end
$$;

-- The one permitted change: an event gets its index, once.
create trigger evidence_event_update before update on evidence_event for each row
  when (old.leaf_index is not null or new.leaf_index is null
    or (old.id, old.log, old.subject, old.at, old.body) is distinct from (new.id, new.log, new.subject, new.at, new.body))
  execute function evidence_refuse();
create trigger evidence_event_delete before delete on evidence_event for each row execute function evidence_refuse();
create trigger evidence_event_truncate before truncate on evidence_event execute function evidence_refuse();
create trigger evidence_node_change before update or delete on evidence_node for each row execute function evidence_refuse();
create trigger evidence_node_truncate before truncate on evidence_node execute function evidence_refuse();
create trigger evidence_checkpoint_change before update or delete on evidence_checkpoint for each row execute function evidence_refuse();
create trigger evidence_checkpoint_truncate before truncate on evidence_checkpoint execute function evidence_refuse();
create trigger evidence_key_change before update or delete on evidence_key for each row execute function evidence_refuse();
create trigger evidence_key_truncate before truncate on evidence_key execute function evidence_refuse();
