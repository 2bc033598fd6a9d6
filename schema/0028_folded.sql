-- Names and addresses are compared in a form that the program makes (src/kernel/fold.ts) and stores beside them: what lower() makes of a
-- letter that is not ASCII goes by the locale of the database. Here ASCII is brought over, by the C locale whatever the database has; the
-- program folds what is left at its start, in this transaction. It is null until then, and never in a row that is written after this.

alter table identity
  add column name_key text collate "C",
  -- 0. Where names that were given before this fold alike, the first keeps 0; no other comes to them.
  add column name_nth integer not null default 0;
update identity i set name_key = k.key, name_nth = k.nth
  from (select id, lower(name collate "C") as key,
               row_number() over (partition by lower(name collate "C") order by created_at, id) - 1 as nth
          from identity where name collate "C" ~ '^[ -~]*$') k
 where i.id = k.id;
drop index identity_lower_name;
create unique index identity_folded_name on identity (name_key, name_nth);
create index identity_alike on identity (name_key) where name_nth > 0;
alter table identity add constraint identity_name_folded check (name_key is not null) not valid;

-- Plain: printable, one @, and a domain of letters, digits, hyphens and dots that is no number, no punycode and ends in no dot.
alter table scim_email add column address text collate "C";
update scim_email set address = lower(email_key collate "C")
 where email_key collate "C" ~ '^[!-?A-~]+@([A-Za-z0-9_-]+[.])*[A-Za-z][A-Za-z0-9_-]*$'
   and strpos(lower(email_key collate "C"), 'xn--') = 0 and length(email_key) <= 600;
create index scim_email_address on scim_email (address, user_id);
alter table scim_email add constraint scim_email_folded check (address is not null) not valid;

-- Of the label `email` alone.
alter table identity_label add column address text collate "C";
update identity_label set address = lower(value collate "C")
 where key = 'email' and value collate "C" ~ '^[!-?A-~]+@([A-Za-z0-9_-]+[.])*[A-Za-z][A-Za-z0-9_-]*$'
   and strpos(lower(value collate "C"), 'xn--') = 0 and length(value) <= 600;
drop index identity_label_email;
create index identity_label_email on identity_label (address, identity_id) where key = 'email';
alter table identity_label add constraint identity_label_folded check ((key = 'email') = (address is not null)) not valid;
