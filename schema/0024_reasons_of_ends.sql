-- Why a request was withdrawn and why a decision was taken back, for whoever looks at it later. Null for those of before: evidence has it.
alter table approval add column withdrawn_reason text;
alter table approval_decision add column taken_back_reason text;
