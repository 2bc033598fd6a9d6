-- Timelines: the events of one identity, in both logs, found by its immutable id. Names change; the canonical JSON of an event has its
-- links as `"links":{…}`, and no text within it can look so, because its quotation marks are escaped.
create index evidence_event_identity on evidence_event (log, substring(body from '"links":\{[^{}]*"identity":"([^"]*)"'), id)
  where substring(body from '"links":\{[^{}]*"identity":"([^"]*)"') is not null;
