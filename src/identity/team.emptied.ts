/** What a team owns when the last person who answers goes: it is handed over with them, and is never without an owner. */
import type { Ctx } from '../kernel/index.ts'
import type { Sql, Tx } from '../store/index.ts'
import { type HandoverCause, type Heir, handOver, securityHeir } from './lifecycle.handover.ts'
import { lockRecord, personById, type Row } from './record.store.ts'
import { SECURITY_CONTACT } from './team.model.ts'
import * as rows from './team.store.ts'

type Managed = Pick<Row, 'id' | 'manager_id'>

interface Named {
  readonly id: string
  readonly name: string
}

/** Teams that own something and have nobody who answers once a person goes; `leaver` still counts among their people now. */
export async function emptiedBy(sql: Sql, leaver: string): Promise<Named[]> {
  const around = (await rows.teamsAbove(sql, leaver)).map(({ id }) => id)
  return withoutPeople(sql, await rows.owningAround(sql, around, SECURITY_CONTACT), leaver)
}

async function withoutPeople(sql: Sql, teams: readonly Named[], leaver: string | null): Promise<Named[]> {
  const peopled = await rows.teamsWithPeople(
    sql,
    teams.map(({ id }) => id),
    leaver,
  )
  return teams.filter(({ id }) => !peopled.has(id))
}

/** Who takes over from an empty team: the nearest around it with people, else the manager of who left last, else the security contact. */
export async function heirOfTeam(sql: Sql, team: string, last: Managed | null): Promise<Heir> {
  const around = await rows.parentThatRemains(sql, team, last?.id ?? null)
  if (around !== null) return { owner: { kind: 'team', id: around.id }, name: around.name, rule: 'parent_team' }
  const manager = last?.manager_id == null ? null : await personById(sql, last.manager_id)
  if (manager?.status === 'active') return { owner: { kind: 'person', id: manager.id }, name: manager.name, rule: 'manager' }
  return securityHeir(sql)
}

/** Hands over what the teams own that are without people once this person has gone for good. The caller holds the record alone. */
export async function handOverCrews(tx: Tx, ctx: Ctx, leaver: Row, cause: HandoverCause): Promise<void> {
  await handOverTeams(tx, ctx, await emptiedBy(tx, leaver.id), leaver, cause)
}

/**
 * Does `change`, which takes people or teams out of these, and hands over what they and the teams around them own if nobody who answers is
 * left. Takes the lock on the record alone: nothing is given to a team that is just losing its people. A suspension is no such change: it
 * may be taken back: the finding `empty_team` says it.
 */
export async function keepOwned<T>(tx: Tx, ctx: Ctx, teams: readonly string[], change: () => Promise<T>): Promise<T> {
  await lockRecord(tx, 'alone')
  const owning = await rows.owningAround(tx, teams, SECURITY_CONTACT)
  if (owning.length === 0) return change()
  const before = await peopleOf(tx, owning)
  const done = await change()
  const empty = await withoutPeople(
    tx,
    await rows.teamsByIds(
      tx,
      owning.map(({ id }) => id),
    ),
    null,
  )
  if (empty.length > 0) await handOverTeams(tx, ctx, empty, await managedAmong(tx, before), 'team_emptied')
  return done
}

async function peopleOf(tx: Tx, teams: readonly Named[]): Promise<readonly Managed[]> {
  const ids = new Set<string>()
  for (const { id } of teams) for (const person of await rows.peopleBelow(tx, id)) ids.add(person.id)
  return tx.query<Managed>('select id, manager_id from identity where id = any($1::uuid[]) order by name', [[...ids]])
}

/** The first of those who went whose manager could take over. */
async function managedAmong(tx: Tx, gone: readonly Managed[]): Promise<Managed | null> {
  for (const one of gone) {
    const isHere = one.manager_id !== null && !gone.some(({ id }) => id === one.manager_id)
    if (isHere && (await personById(tx, one.manager_id ?? ''))?.status === 'active') return one
  }
  return null
}

async function handOverTeams(tx: Tx, ctx: Ctx, teams: readonly Named[], last: Managed | null, cause: HandoverCause): Promise<void> {
  for (const { id, name } of teams) {
    await handOver(tx, ctx, { owner: { kind: 'team', id }, name }, await heirOfTeam(tx, id, last), cause, null)
  }
}
