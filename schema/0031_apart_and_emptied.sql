-- Whether somebody forced that they hold both hands also without a role that gives both by itself, whose policy says why. True of what was
-- forced before: then it was said of the person alone.
alter table both_hands add column apart boolean not null default true;

-- What a team owns is handed over when the last person who answers leaves it.
alter table handover drop constraint handover_cause_check,
  add constraint handover_cause_check check (cause in ('left', 'offboarded', 'moved', 'removed', 'team_removed', 'team_emptied'));
