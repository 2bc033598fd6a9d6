-- Who stands behind an API token; and keys of repeated requests that belong to a proof, not only to an identity.

-- Identities that made it, through tokens made by tokens and across rotations. Empty: the first token, held by whoever set the
-- installation up. Null: nobody is on record. No foreign key: a maker who is gone must not keep anything, and its token is refused.
alter table api_token add column makers uuid[];

-- Of tokens that exist: from who is recorded as having made them, up the line of tokens that made tokens. `created_by` is the actor of
-- the event `token.created` or `token.rotated`. A line that ends at nothing that can be read stays null, and shows as a finding.
with recursive made as (
    select id, case when created_by ~ '^token:[0-9a-f-]{36}$' then substr(created_by, 7)::uuid end as by_token from api_token),
  line(id, above) as (
    select id, id from made
    union
    select l.id, m.by_token from line l join made m on m.id = l.above where m.by_token is not null),
  named as (
    -- Whoever made any token of the line.
    select l.id, x.id::uuid as maker
      from line l join api_token t on t.id = l.above
      cross join lateral (
        select m[1] as id from regexp_matches(t.created_by, '^(?:person|workload|machine|agent):([0-9a-f-]{36})') m
        union all
        select m[1] from regexp_matches(t.created_by, '^agent:[0-9a-f-]{36} for ([0-9a-f-]{36})$') m) x
    union
    -- Whose a token was that made one.
    select l.id, x.id from line l join api_token t on t.id = l.above
      cross join lateral (values (t.identity_id), (t.acts_for_id)) x(id) where l.above <> l.id and x.id is not null),
  found as (select id, array_agg(distinct maker order by maker) as makers from named group by id)
update api_token t set makers = f.makers from found f where f.id = t.id;

-- The first token of an installation, and what it was rotated into: alone in never ending.
update api_token set makers = '{}' where makers is null and (expires_at is null or created_by = 'setup');

create index api_token_makers on api_token using gin (makers);

-- The id of who asks; where one identity has many proofs with bounds of their own, with what tells those apart.
alter table idempotency alter column token_id type text collate "C";
