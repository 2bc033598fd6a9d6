-- An approval that reaches people through teams is looked for by everything else that was asked, so that others with the same subject,
-- however many, do not hide it. The expression is the one of approval.store.ts.
create index approval_alike on approval
  (hashtextextended(regexp_replace(what, '"people":(\[[^]]*\]|\{[^}]*\})', '', 'g'), 0))
  where state in ('requested', 'approved', 'bypassed');
