-- Who made a way by which others are let in, and so knows it or chose it: the identities that stood behind whoever did it, as for tokens
-- (api_token.makers). Null: nobody is on record (the first token did it, or it is from before this). No foreign key: who is gone stays
-- named.
alter table issuer add column makers uuid[];
alter table issuer_rule add column makers uuid[];
alter table scim_token add column makers uuid[];
alter table login_provider add column makers uuid[];
alter table identity_external add column makers uuid[];
alter table notify_channel add column makers uuid[];

-- Of those that exist: from the actor on record, of providers from the event that told of it.
create function pg_temp.makers_of(actor text) returns uuid[] language sql as $$
  select array_agg(distinct x.id order by x.id) from (
    select m[1]::uuid as id from regexp_matches(actor, '^(?:person|workload|machine|agent):([0-9a-f-]{36})') m
    union all
    select m[1]::uuid from regexp_matches(actor, ' for ([0-9a-f-]{36})$') m
    union all
    select y.id from regexp_matches(actor, '^token:([0-9a-f-]{36})$') m join api_token t on t.id::text = m[1]
      cross join lateral (select unnest(t.makers) union all select t.identity_id union all select t.acts_for_id) y(id)) x
  where x.id is not null
$$;
update issuer set makers = pg_temp.makers_of(created_by);
update issuer_rule set makers = pg_temp.makers_of(created_by);
update notify_channel set makers = pg_temp.makers_of(created_by);

create temporary table told on commit drop as
  select e.body::jsonb ->> 'type' as type, e.body::jsonb -> 'links' as links, e.at, pg_temp.makers_of(e.body::jsonb ->> 'actor') as makers
    from evidence_event e
   where e.log = 'identity' and e.body like any (array['%"type":"login_provider.added"%', '%"type":"scim_provider.added"%',
                                                       '%"type":"scim_provider.token_rotated"%']);
update login_provider p set makers = t.makers
  from told t where t.type = 'login_provider.added' and t.links ->> 'login_provider' = p.id::text;
-- A token and its event are of one transaction, by one clock, but not of one moment.
update scim_token s set makers = (
  select t.makers from told t where t.type <> 'login_provider.added' and t.links ->> 'scim_provider' = s.provider_id::text
   order by abs(extract(epoch from t.at - s.created_at)) limit 1);
drop function pg_temp.makers_of(text);

-- By which token a directory ordered it: who made that one does not approve it.
alter table scim_user add column offboard_by uuid;
-- Rules are looked for by whom they let in, wherever it is asked who stands behind a program.
create index issuer_rule_identity on issuer_rule (identity_id);

-- Who answers for what somebody has made who has left: the identities behind whoever confirmed it, and when. What was added to it after
-- that (a rule of an issuer, a link of a login provider) is not confirmed.
alter table issuer add column confirmed uuid[], add column confirmed_at timestamptz;
alter table login_provider add column confirmed uuid[], add column confirmed_at timestamptz;
alter table notify_channel add column confirmed uuid[], add column confirmed_at timestamptz;
alter table identity_external add column made_at timestamptz not null default now();
create index identity_external_makers on identity_external (source) where makers is not null;

alter table notify_delivery
  drop constraint notify_delivery_event_check,
  add constraint notify_delivery_event_check
    check (event in ('requested', 'reminder', 'bypassed', 'test', 'review_missed', 'closure_waits', 'way_lost', 'roads_left',
                     'approved', 'rejected', 'expired', 'let_through')),
  drop constraint notify_delivery_about,
  add constraint notify_delivery_about
    check ((about is not null) = (event in ('review_missed', 'closure_waits', 'way_lost', 'roads_left')));
