-- Suspended by a person: a directory that says active again does not bring it back, only a person does.
alter table identity add column barred boolean not null default false;
