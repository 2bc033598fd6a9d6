-- Whose a consumer is, where the fleet file says so; else its name decides. Deferred: an apply may remove an identity before it has
-- given its consumers to another.
alter table consumer add column identity_id uuid references identity deferrable initially deferred;
create index consumer_identity on consumer (identity_id) where identity_id is not null;
create index consumer_called on consumer (name) where identity_id is null;
