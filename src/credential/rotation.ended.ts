/** Credentials of which nothing is left to rotate, for whoever names one. */
import { recordsById } from '../identity/index.ts'
import { RekeyError } from '../kernel/index.ts'
import { type Allowed, isMine } from '../policy/index.ts'
import type { Tx } from '../store/index.ts'
import { resourcesOf } from './resources.ts'
import { type Ended, selectEnded } from './rotation.list.ts'

/** Of these names, those that are on record without a value in use and that the asker may rotate: for everybody else they are not there. */
export async function endedOf(tx: Tx, may: Allowed<'rotation:start'>, names: readonly string[]): Promise<Ended[]> {
  const ended = await selectEnded(tx, names)
  const resources = await resourcesOf(tx, ended)
  return ended.filter((_, index) => isMine(may, resources[index]))
}

/** Why nothing of it can be rotated, and where to read how it ended. */
export async function hasEnded(tx: Tx, { name, system, identity_id, decommissioned }: Ended): Promise<RekeyError> {
  const record = identity_id === null ? undefined : (await recordsById(tx, [identity_id])).get(identity_id)
  const left = record?.status === 'offboarded' ? `: its identity ${record.name} has left` : ''
  const why = decommissioned ? `: ${system} was given up` : left
  return new RekeyError('wrong_state', `${name} has ended${why}. It has no value that could be rotated.`, {
    hint: `How it ended: rekey credential show ${name}. Who still needs access gets a credential of their own in the fleet file.`,
  })
}
