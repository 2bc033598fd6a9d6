-- Who made an enrolment code, and by what: it is good only while both are, and while they may still make administrators. Those that are
-- there now do not say it, and are good for ten minutes at most.
delete from enrolment_code;
alter table enrolment_code
  -- Identities that stand behind it; empty: made by the first token, or by one that nobody on record has made.
  add column makers uuid[] not null,
  -- The person, or the API token, that made it. No foreign key: whoever is gone has made no code that is good.
  add column maker_kind text not null check (maker_kind in ('person', 'token')),
  add column maker_id uuid not null,
  -- The person's session, as it goes on after a step-up. A code is deleted with the end of its session.
  add column session_id uuid;
create index enrolment_code_makers on enrolment_code using gin (makers);
create index enrolment_code_session on enrolment_code (session_id) where session_id is not null;

-- People who were made as local administrators: by whom, the last time that a code was made for them, and when they first came in.
create table bootstrap_person (
  identity_id uuid primary key references identity on delete cascade,
  makers uuid[] not null,
  made_at timestamptz not null default now(),
  -- The first session, or the first id that others know them by. Null: nobody has ever been this person, so another code may be made.
  came_at timestamptz
);
create index bootstrap_person_makers on bootstrap_person using gin (makers);

-- Those made before count as having come in: nothing says for sure that they have not. By whom: the actor who bound their role.
insert into bootstrap_person (identity_id, makers, made_at, came_at)
select i.id,
       case when b.created_by ~ '^person:[0-9a-f-]{36}$' then array[substr(b.created_by, 8)::uuid]
            else coalesce((select array(select unnest(t.makers) union select t.identity_id where t.identity_id is not null order by 1)
                             from api_token t where b.created_by = 'token:' || t.id), '{}') end,
       coalesce(b.created_at, now()), now()
  from identity i
  left join role_binding b on b.subject_kind = 'identity' and b.subject_id = i.id and b.role = 'bootstrap-admin'
 where i.source = 'bootstrap' and i.kind = 'human';
