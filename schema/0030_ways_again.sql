-- The directory that deleted the group of a team while something depended on it (a rule, a role, a policy): emptied, and kept by hand since.
alter table team add column left_by text;
