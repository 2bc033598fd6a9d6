/**
 * SQL over a version `v` of a credential `c`: since when a rotation under way may have changed what a login with it is answered, if it
 * was not answered since. In place the install kills the old value; under every strategy the retirement does. While a call is open its
 * answer may have been lost, so that an `accepted` may be from before it.
 */
export const UNKNOWN_SINCE = `(select case when u.opened is not null and (v.last_probe ->> 'outcome' = 'accepted'
                                            or coalesce((v.last_probe ->> 'at')::timestamptz < u.opened, true)) then u.opened
                   when coalesce((v.last_probe ->> 'at')::timestamptz < u.changed, true) then u.changed end
         from rotation r cross join lateral (
              select case when r.old_version_id = v.id
                                 and (r.attempt_step = 'retire' or r.attempt_step = 'install' and c.strategy = 'in-place')
                            or r.new_version_id = v.id and r.attempt_step = 'install' then r.attempt_opened_at end as opened,
                     case when r.old_version_id = v.id
                          then coalesce(r.retired_at, case when c.strategy = 'in-place' then r.installed_at end) end as changed) u
        where r.credential_id = c.id and r.ended_at is null and v.id in (r.old_version_id, r.new_version_id))`
