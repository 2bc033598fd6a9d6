-- Whom a request is about, and everybody behind them, as it was when it was asked: they neither approve nor reject it. Empty for one of
-- before this: such a request is asked for anew, unless it is about nobody.
alter table approval add column about text[] not null default '{}';
