-- Since when a directory says that a person has an address: whoever was there first is not counted as one with others by the later word of
-- another directory. It is the later one who may be them.
alter table scim_email add column since timestamptz;
update scim_email e set since = u.created_at from scim_user u where u.id = e.user_id;
alter table scim_email alter column since set not null;
