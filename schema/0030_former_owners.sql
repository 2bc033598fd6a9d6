-- Who answered for a program and does so no more: itself, or as the only human of the team that did. They may know its token. One row for
-- each of them, with when that ended last. No foreign key of the person: who is gone stays named.
create table former_owner (
  identity_id uuid not null references identity on delete cascade,
  person_id uuid not null,
  until timestamptz(3) not null,
  primary key (identity_id, person_id)
);
