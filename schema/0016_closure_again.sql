-- Closures go on by themselves when a system that was away answers again.

-- How often Rekey itself has looked, since a human has the item.
alter table closure_item add column looks integer not null default 0;
