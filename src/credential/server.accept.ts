import { differenceOf, type ServerIdentity } from '../connectors/contract.ts'
import { append } from '../evidence/index.ts'
import { type Ctx, isCode, RekeyError } from '../kernel/index.ts'
import type { Allowed } from '../policy/index.ts'
import type { Tx } from '../store/index.ts'
import { throwFaults } from './inventory.plan.ts'
import { lockInventory } from './inventory.store.ts'
import { systemForWork } from './inventory.system.ts'
import { requireSystem } from './resources.ts'
import type { RotationParts } from './rotation.run.ts'
import type { Work, WorkSystem } from './rotation.store.ts'
import { isOneServer, knownOf, type ServerView, type StoredServer, storedOf } from './server.model.ts'
import { lockServer, putAccepted, putServer, sharedAccounts } from './server.store.ts'
import { NUDGE } from './worker.channel.ts'

/** Why a server is accepted. */
export interface AcceptInput {
  readonly reason: string
  /** It is a copy of another system's server with accounts of its own: that both say the same of themselves means nothing. */
  readonly apart: boolean
}

/** What is on record now. */
export interface ServerAccepted {
  /** False: it was on record already. */
  readonly changed: boolean
  /** What the server before said of itself; null: none was on record. */
  readonly before: ServerView
  readonly after: ServerView
}

/**
 * Puts the server on record that answers for a system at this moment, instead of the one before. What that one answered counts no more,
 * as after a change of address: a value must be seen to work here before its death can be proven. Rotations that are blocked stay so
 * until they are tried again.
 *
 * Throws `not_found`; `bad_input` without a reason; `wrong_state` for a decommissioned system; `conflict`, with a fault for each, if the
 * server is that of another system which has an account of this one, and if the system changed meanwhile; a `target_*` error if it does
 * not answer. Of one that refuses the root secret nothing can be told: then the first one that takes it goes on record (`setRoot`).
 */
export async function acceptServer(
  parts: Pick<RotationParts, 'store' | 'targets'>,
  ctx: Ctx,
  may: Allowed<'system:accept-server'>,
  name: string,
  input: AcceptInput,
): Promise<ServerAccepted> {
  if (input.reason.trim() === '') throw new RekeyError('bad_input', 'Accepting a server needs a reason.', { hint: 'Give --reason TEXT.' })
  requireSystem(may, name)
  const { system, root } = await systemForWork(parts.store, name)
  const identity = await lookAt(parts, ctx, { system, root })
  return parts.store.inTx(async (tx) => {
    await lockInventory(tx)
    const row = await lockServer(tx, system.id)
    if (row?.decommissioned) throw new RekeyError('wrong_state', `The system ${name} is decommissioned.`)
    if (row === null || row.place !== system.place || row.root_account !== system.rootAccount)
      throw new RekeyError('conflict', `The system ${name} changed meanwhile.`, { hint: 'Try again.' })
    const before = row.server?.facts ?? null
    const after = identity?.facts ?? null
    const other = identity === null || differenceOf(knownOf(row.server, row.server_ago), identity, 0) !== null
    if (!other && row.met_here && row.server_apart === input.apart) return { changed: false, before, after }
    const found = identity && storedOf(identity)
    await putServer(tx, system.id, found, identity === null || identity.account === system.rootAccount ? null : identity.account)
    const epoch = row.server_epoch + (other ? 1 : 0)
    await putAccepted(tx, system.id, epoch, input.apart)
    if (!input.apart) await refuseShared(tx, system, found)
    const data = { before, facts: after, rootAccount: identity?.account ?? null, epoch, ...input }
    await append(tx, ctx, [{ log: 'credential', type: 'system.server_accepted', subject: name, links: { system: system.id }, data }])
    await tx.query('select pg_notify($1, $2)', [NUDGE, ''])
    return { changed: true, before, after }
  })
}

/** Null: it does not take the root secret, so it cannot be asked; the next one that does goes on record. */
async function lookAt(
  parts: Pick<RotationParts, 'store' | 'targets'>,
  ctx: Ctx,
  { system, root }: Pick<Work, 'system' | 'root'>,
): Promise<ServerIdentity | null> {
  try {
    return await parts.targets.look(parts.store, ctx, system, root)
  } catch (error) {
    if (isCode(error, 'target_not_authorised')) return null
    throw error
  }
}

async function refuseShared(tx: Tx, { id, name }: Pick<WorkSystem, 'id' | 'name'>, found: StoredServer | null): Promise<void> {
  const shared = (await sharedAccounts(tx, id)).filter(({ server }) => isOneServer(found, server))
  const faults = shared.map(({ system, account, credential }) => {
    return { path: name, message: `The account "${account}" is that of ${credential} on ${system}, which is the same server.` }
  })
  throwFaults('conflict', `${name} would share accounts with another system; nothing was changed.`, faults)
}
