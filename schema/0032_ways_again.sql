-- The directory that deleted the group of a team while something depended on it (a rule, a role, a policy): emptied, and kept by hand
-- since.
alter table team add column left_by text;

-- A team whose people a directory took out, or that it deleted, and with them went the last way to change policy; as `way_lost`. The
-- team may
-- be gone, so its name is here.
create table way_lost_team (
  team_id uuid primary key,
  name text not null,
  provider text not null,
  since timestamptz not null
);

-- By which link to a login provider somebody came in who enrolled this passkey, directly or by another such passkey: the source of the
-- external
-- id, `oidc:` and the provider's name. Null: by a code, before this was kept, or said to be the person's own.
alter table passkey add column came_by text;
