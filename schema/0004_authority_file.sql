-- The path that fleet.yaml names for `ca`: what a diff compares. The text itself is what connectors use.
alter table system add column ca_file text;
