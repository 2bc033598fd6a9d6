-- Whose a consumer is, where the fleet file says so; else its name decides. Deferred: an apply may remove an identity before it has
-- given its consumers to another.
alter table consumer add column identity_id uuid references identity deferrable initially deferred;
create index consumer_identity on consumer (identity_id) where identity_id is not null;
create index consumer_called on consumer (name) where identity_id is null;

-- Why a closure has a credential. own: it is the identity's. The others are somebody else's, and who leaves knows the value, because they
-- consume it or because a credential of theirs has the same one: it is rotated, and nothing of it is ever stopped.
alter table closure_item
  add column relation text not null default 'own' check (relation in ('own', 'consumer', 'same_value')),
  -- Versions that could authenticate when it was planned.
  add column known uuid[] not null default '{}',
  add constraint closure_item_others check (relation = 'own' or way <> 'suspend');
drop index closure_item_one_live;
create unique index closure_item_one_live on closure_item (credential_id) where ended_at is null and relation = 'own';
create unique index closure_item_one_of_others on closure_item (closure_id, credential_id) where ended_at is null and relation <> 'own';
create index closure_item_live on closure_item (credential_id) where ended_at is null;
-- Credentials of which a person has shown that they hold the value.
create index activation_person on activation (by_person) where by_person is not null;
