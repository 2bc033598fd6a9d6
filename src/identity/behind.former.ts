/** Who answered for a program, remembered when that ends: nobody is rid of what their program does by giving it away first. */
import { append } from '../evidence/index.ts'
import type { Ctx } from '../kernel/index.ts'
import type { Sql, Tx } from '../store/index.ts'
import * as rows from './behind.store.ts'
import { loneTeams } from './behind.ts'
import { identityEvent } from './lifecycle.owners.ts'

/** A program with the people who stand behind it by answering for it. */
export interface Owners {
  readonly id: string
  readonly name: string
  readonly people: readonly string[]
}

/**
 * Who answers for which of these programs at this moment: its owner, or whoever is in the team that does, where that is one human's. To be
 * asked before what may end it. Identities of people are passed over.
 */
export async function ownersOf(sql: Sql, which: rows.Which): Promise<Owners[]> {
  const owned = await rows.ownedPrograms(sql, which)
  const lone = await loneTeams(sql, [...new Set(owned.flatMap(({ team }) => team ?? []))])
  const people = await rows.peopleIn(sql, lone)
  const owners = owned.map(({ id, name, person, team }) => ({
    id,
    name,
    people: person === null ? (people.get(team ?? '') ?? []) : [person],
  }))
  return owners.filter((one) => one.people.length > 0)
}

/** People in one event: it stays far below the bound of an event's size. */
const PEOPLE_AN_EVENT = 500

/**
 * Remembers them (`identity.stood_behind`), in the transaction that ends it. Of somebody who goes on answering for it this changes nothing:
 * that they did until now is true of them too.
 */
export async function rememberOwners(tx: Tx, ctx: Ctx, owners: readonly Owners[]): Promise<void> {
  if (owners.length === 0) return
  const at = await rows.putFormer(
    tx,
    owners.flatMap(({ id, people }) => people.map((person) => ({ identity: id, person }))),
  )
  const until = at.toISOString()
  const events = owners.flatMap((one) => chunks(one.people).map((people) => identityEvent('identity.stood_behind', one, { people, until })))
  await append(tx, ctx, events)
}

function chunks(all: readonly string[]): string[][] {
  return Array.from({ length: Math.ceil(all.length / PEOPLE_AN_EVENT) }, (_, at) =>
    all.slice(at * PEOPLE_AN_EVENT, (at + 1) * PEOPLE_AN_EVENT),
  )
}
