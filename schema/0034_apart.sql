-- Whether somebody forced that they hold both hands also without a role that gives both by itself, whose policy says why. True of what was
-- forced before: then it was said of the person alone.
alter table both_hands add column apart boolean not null default true;
