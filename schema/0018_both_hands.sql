-- For whom somebody said, with a reason, that they may hold directory rights and credential rights together. Without a row, roles that
-- come by the word of a directory provider do not bring the two together: they do not count.
create table both_hands (
  identity_id uuid primary key references identity on delete cascade,
  reason text not null check (reason <> ''),
  forced_at timestamptz not null,
  forced_by text not null
);
