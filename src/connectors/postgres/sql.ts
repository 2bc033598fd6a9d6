import pg from 'pg'
import type { Size } from '../intake.ts'
import type { Shape } from './answer.ts'

/** A prepared statement: planned once per connection under its name, which saves the planning at every later use. */
export interface Statement {
  readonly name: string
  readonly text: string
  /** Left out: small. */
  readonly size?: Size
  /** What each row has, in this order; a server that answers another is no PostgreSQL. */
  readonly row: Shape
}

/**
 * Fails with 22P02 after the moment $1 (by the target's clock, microseconds since 1970): a change that Rekey has given up on must not
 * happen later, when a network or a server that was stuck goes on. It is asked before the change and once more before its commit; what is
 * stuck between that and the end of the commit has the row, and whoever changes it next waits for it.
 */
const IN_TIME = `SELECT (CASE WHEN extract(epoch FROM clock_timestamp()) * 1000000 <= $1 THEN '1' ELSE 'late' END)::int`
/** Fails with 22012 if the role $1 may not log in. */
const MAY_LOG_IN = `SELECT 1 / rolcanlogin::int FROM pg_roles WHERE rolname = $1`

/**
 * The mark: target time in microseconds since 1970, as text; exact, and in the unit in which PostgreSQL keeps `backend_start`.
 * Sessions began by the same clock, which may have been set back since: the mark lies never before the youngest living session of the
 * account $1, or before one whose login is still under way. Then, until the clock has caught up, new sessions count as old.
 */
const MARK = `SELECT (extract(epoch FROM greatest(clock_timestamp(), max(backend_start))) * 1000000)::bigint::text AS mark
    FROM pg_stat_activity WHERE coalesce(usename = $1, true)
      AND coalesce(backend_type, 'walsender') IN ('client backend', 'walsender')`

/**
 * Sessions of $1 by the name they logged in with, without the server processes $2 (ours) and without our own. `backend_type` and
 * `backend_start` are NULL when root may not see them: such rows are kept, so that nobody takes them for none. Parallel workers are
 * no sessions.
 */
const OF_ACCOUNT = `FROM pg_stat_activity WHERE usename = $1 AND coalesce(backend_type, 'walsender') IN ('client backend', 'walsender')
  AND pid <> pg_backend_pid() AND pid <> ALL ($2::int[])`
const STARTED = `extract(epoch FROM backend_start) * 1000000`
/** One that began in the future began before the clock was set back: whether before or after a mark cannot be known, so it is old. */
const FUTURE = `backend_start > clock_timestamp()`

/** Asks every session at or before the mark $3 (all if NULL) to end; does not wait. One row with how many there were. */
const END_SESSIONS = `SELECT count(*)::int AS found, count(*) FILTER (WHERE backend_start IS NULL)::int AS hidden,
    count(CASE WHEN backend_start IS NULL THEN NULL ELSE pg_terminate_backend(pid) END)::int AS signalled ${OF_ACCOUNT}
  AND (backend_start IS NULL OR $3::numeric IS NULL OR ${STARTED} <= $3::numeric OR ${FUTURE})`
/** Whether the role $1 has exactly the verifier $2, or none if that is NULL. Only for who may read them. */
const HOLDS = 'SELECT rolpassword IS NOT DISTINCT FROM $2 AS holds FROM pg_authid WHERE rolname = $1'

/**
 * What every root connection is told first: the statements of the scripts below, which cannot have parameters of the protocol. One plan
 * for all their lives: to plan these takes longer than to run them. (`plan_cache_mode` is there from PostgreSQL 12.)
 */
export const PREPARE = [
  `SELECT set_config(name, 'force_generic_plan', false) FROM pg_settings WHERE name = 'plan_cache_mode'`,
  `PREPARE in_time(numeric) AS ${IN_TIME}`,
  `PREPARE may_log_in(text) AS ${MAY_LOG_IN}`,
  `PREPARE take_mark(text) AS ${MARK}`,
  `PREPARE end_sessions(text, int[], numeric) AS ${END_SESSIONS}`,
  `PREPARE holds(text, text) AS ${HOLDS}`,
].join('; ')

/** The time of the target, microseconds since 1970, as text; and whether root may read what the accounts' values are checked against. */
export const TIME = `SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint::text AS now,
    has_table_privilege('pg_authid', 'SELECT') AS verifiers`

/** What the last statement of a script that takes a mark answers. */
export const MARKED: Shape & { readonly mark: 'string' } = { mark: 'string' }

/** The mark alone. */
export function takeMark(account: string): string {
  return `EXECUTE take_mark(${pg.escapeLiteral(account)})`
}

/**
 * Sets the role's password to a finished verifier, or to NULL, and takes the mark: one round trip.
 * The first statements fail if it is too late or the role may not log in, so that nothing is changed then. The mark is taken after COMMIT:
 * taken within the transaction it would count as new a session that was still let in with the old value while the commit was on its way.
 * `until`: see `IN_TIME`.
 */
export function setPassword(account: string, verifier: string | null, until: string): string {
  const value = verifier === null ? 'NULL' : pg.escapeLiteral(verifier)
  const may = verifier === null ? [] : [`EXECUTE may_log_in(${pg.escapeLiteral(account)})`]
  return [...inTime(until, [...may, `ALTER ROLE ${pg.escapeIdentifier(account)} PASSWORD ${value}`]), takeMark(account)].join('; ')
}

/** The statements as one transaction that is over by `until`, or has not been. */
function inTime(until: string, statements: readonly string[]): string[] {
  const check = `EXECUTE in_time(${pg.escapeLiteral(until)})`
  return ['BEGIN', check, ...statements, check, 'COMMIT']
}

/** Asks the account's sessions at or before the mark (all without one) to end, but not our own server processes: a row of `EndingRow`. */
export function endSessions(account: string, own: readonly number[], before: string | null): string {
  return `EXECUTE end_sessions(${pg.escapeLiteral(account)}, '{${own.join(',')}}', ${before === null ? 'NULL' : pg.escapeLiteral(before)})`
}

/**
 * As `endSessions`, then whether the account has exactly this verifier (NULL: none): one round trip. The second statement has a snapshot
 * of its own, so it sees whatever a session had changed that the first one did not find any more.
 */
export function endSessionsAndCompare(account: string, own: readonly number[], before: string | null, verifier: string | null): string {
  const value = verifier === null ? 'NULL' : pg.escapeLiteral(verifier)
  return `${endSessions(account, own, before)}; EXECUTE holds(${pg.escapeLiteral(account)}, ${value})`
}

/** A row if server process $1 is a session of account $3 that calls itself $2. Every account may see that of every other. */
export const SEES: Statement = {
  name: 'sees',
  row: { here: 'boolean' },
  text: 'SELECT true AS here FROM pg_stat_get_activity($1) WHERE application_name = $2 AND pg_get_userbyid(usesysid) = $3',
}

/** Stops or permits logins, or ends them for good, whatever was there before. Fails with 42704 if the role does not exist. */
export function setLogins(account: string, to: 'LOGIN' | 'NOLOGIN' | 'NOLOGIN PASSWORD NULL', until: string): string {
  return inTime(until, [`ALTER ROLE ${pg.escapeIdentifier(account)} ${to}`]).join('; ')
}

/** Whether the role $1 may log in; no row if there is none. */
export const LOGINS: Statement = {
  name: 'logins',
  text: 'SELECT rolcanlogin AS open FROM pg_roles WHERE rolname = $1',
  row: { open: 'boolean' },
}

/** $3: opened at or before this mark, $4: opened after it, each or NULL. */
export const LIST_SESSIONS: Statement = {
  name: 'list_sessions',
  size: 'large',
  row: { pid: 'number', application_name: 'string', address: 'string or null', hidden: 'boolean' },
  text: `
  SELECT pid, application_name, client_addr::text AS address, backend_start IS NULL AS hidden ${OF_ACCOUNT}
  AND (backend_start IS NULL OR (($3::numeric IS NULL OR ${STARTED} <= $3::numeric OR ${FUTURE})
    AND ($4::numeric IS NULL OR (${STARTED} > $4::numeric AND NOT ${FUTURE}))))
  ORDER BY backend_start, pid`,
}

/** Accounts that are not PostgreSQL's own. */
export const LIST_ACCOUNTS: Statement = {
  name: 'list_accounts',
  size: 'large',
  row: { name: 'string', canLogin: 'boolean' },
  text: `SELECT rolname AS name, rolcanlogin AS "canLogin" FROM pg_roles WHERE rolname !~ '^pg_' ORDER BY rolname`,
}

/**
 * What the role $1 may do, one text each. Attributes and memberships; then everything that the catalogue of shared dependencies says
 * it owns or is named in the ACL of. Objects of other databases are given by number: their names can only be read from within.
 *
 * The role's own name stands nowhere but in names of objects, which say which object it is and are never made alike. Left out are its
 * own default privileges: they give others rights over objects that it makes, and it none.
 *
 * Policies on rows, by what they say and not by their names: a permissive one gives rows; a restrictive one takes some, so the right
 * is that it does not apply. What policies of other databases say cannot be read: there both must be named by the same ones.
 */
export const LIST_GRANTS: Statement = {
  name: 'list_grants',
  size: 'large',
  row: { text: 'string' },
  text: `
  WITH me AS (SELECT * FROM pg_roles WHERE rolname = $1),
  attribute AS (
    SELECT 'attribute ' || name AS grant_text FROM me, LATERAL (VALUES ('superuser', rolsuper), ('createrole', rolcreaterole),
      ('createdb', rolcreatedb), ('replication', rolreplication), ('bypassrls', rolbypassrls), ('login', rolcanlogin)) AS flag(name, has)
    WHERE has),
  -- to_jsonb: the columns inherit_option and set_option are new in PostgreSQL 16.
  membership AS (
    SELECT 'member of ' || quote_ident(role.rolname) || CASE WHEN link.admin_option THEN ' with admin' ELSE '' END
      || CASE WHEN coalesce((to_jsonb(link)->>'inherit_option')::boolean, me.rolinherit) THEN '' ELSE ' without inherit' END
      || CASE WHEN coalesce((to_jsonb(link)->>'set_option')::boolean, true) THEN '' ELSE ' without set' END AS grant_text
    FROM me JOIN pg_auth_members link ON link.member = me.oid JOIN pg_roles role ON role.oid = link.roleid),
  -- Every kind of object that has an ACL and that pg_describe_object can name from here.
  acl(class, object, sub, list) AS (
    SELECT 'pg_class'::regclass, oid, 0, relacl FROM pg_class UNION ALL
    SELECT 'pg_class'::regclass, attrelid, attnum::int, attacl FROM pg_attribute UNION ALL
    SELECT 'pg_proc'::regclass, oid, 0, proacl FROM pg_proc UNION ALL
    SELECT 'pg_namespace'::regclass, oid, 0, nspacl FROM pg_namespace UNION ALL
    SELECT 'pg_database'::regclass, oid, 0, datacl FROM pg_database UNION ALL
    SELECT 'pg_tablespace'::regclass, oid, 0, spcacl FROM pg_tablespace UNION ALL
    SELECT 'pg_type'::regclass, oid, 0, typacl FROM pg_type UNION ALL
    SELECT 'pg_language'::regclass, oid, 0, lanacl FROM pg_language UNION ALL
    SELECT 'pg_foreign_data_wrapper'::regclass, oid, 0, fdwacl FROM pg_foreign_data_wrapper UNION ALL
    SELECT 'pg_foreign_server'::regclass, oid, 0, srvacl FROM pg_foreign_server UNION ALL
    SELECT 'pg_largeobject'::regclass, oid, 0, lomacl FROM pg_largeobject_metadata UNION ALL
    SELECT 'pg_parameter_acl'::regclass, oid, 0, paracl FROM pg_parameter_acl UNION ALL
    SELECT 'pg_default_acl'::regclass, oid, 0, defaclacl FROM pg_default_acl),
  permission AS (
    SELECT lower(item.privilege_type) || ' on ' || pg_describe_object(acl.class, acl.object, acl.sub)
      || CASE WHEN item.is_grantable THEN ' with grant' ELSE '' END AS grant_text
    FROM me, acl, aclexplode(acl.list) AS item WHERE acl.list IS NOT NULL AND item.grantee = me.oid
      AND NOT (acl.class = 'pg_default_acl'::regclass
               AND EXISTS (SELECT FROM pg_default_acl own WHERE own.oid = acl.object AND own.defaclrole = me.oid))),
  policy AS (
    SELECT permissive, what, bool_or(applies) AS applies
    FROM (SELECT polpermissive AS permissive,
            EXISTS (SELECT FROM unnest(polroles) AS named WHERE named = 0 OR pg_has_role(me.oid, named, 'USAGE')) AS applies,
            pg_describe_object('pg_class'::regclass, polrelid, 0)
              || CASE polcmd WHEN 'r' THEN ' for select' WHEN 'a' THEN ' for insert' WHEN 'w' THEN ' for update' WHEN 'd' THEN ' for delete'
                             ELSE '' END
              || coalesce(' using ' || pg_get_expr(polqual, polrelid), '')
              || coalesce(' with check ' || pg_get_expr(polwithcheck, polrelid), '') AS what
          FROM me, pg_policy) AS each
    GROUP BY permissive, what),
  row_right AS (
    SELECT CASE WHEN permissive THEN 'rows of ' ELSE 'not restricted on ' END || what AS grant_text FROM policy WHERE applies = permissive),
  policy_elsewhere AS (
    SELECT CASE WHEN bool_or(thing.refobjid = me.oid) THEN 'named by policy ' ELSE 'not named by policy ' END
      || thing.objid || ' of database ' || base.datname AS grant_text
    FROM me, pg_shdepend thing JOIN pg_database base ON base.oid = thing.dbid AND base.datname <> current_database()
    WHERE thing.classid = 'pg_policy'::regclass AND thing.deptype = 'r' GROUP BY thing.objid, base.datname),
  elsewhere AS (
    SELECT kind || ' ' || thing.classid::regclass || ' ' || thing.objid || coalesce(' of database ' || base.datname, '') AS grant_text
    FROM me JOIN pg_shdepend thing ON thing.refclassid = 'pg_authid'::regclass AND thing.refobjid = me.oid
    JOIN pg_database base ON base.oid = thing.dbid AND base.datname <> current_database()
    JOIN (VALUES ('o'::"char", 'owns'), ('a'::"char", 'granted on')) AS kinds(deptype, kind) ON kinds.deptype = thing.deptype
    WHERE thing.classid <> 'pg_default_acl'::regclass OR thing.deptype <> 'o'),
  ownership AS (
    SELECT 'owns ' || pg_describe_object(thing.classid, thing.objid, thing.objsubid) AS grant_text
    FROM me JOIN pg_shdepend thing ON thing.refclassid = 'pg_authid'::regclass AND thing.refobjid = me.oid AND thing.deptype = 'o'
      AND thing.classid <> 'pg_default_acl'::regclass
    WHERE thing.dbid IN (0, (SELECT oid FROM pg_database WHERE datname = current_database())))
  SELECT grant_text AS text FROM
    (TABLE attribute UNION TABLE membership UNION TABLE permission UNION TABLE elsewhere UNION TABLE ownership
     UNION TABLE row_right UNION TABLE policy_elsewhere) AS everything
  WHERE grant_text IS NOT NULL`,
}

/** Whether the role exists. */
export const ACCOUNT_EXISTS: Statement = {
  name: 'account_exists',
  text: `SELECT true AS found FROM pg_roles WHERE rolname = $1`,
  row: { found: 'boolean' },
}
