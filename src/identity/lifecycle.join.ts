import { append } from '../evidence/index.ts'
import { type Ctx, nameKey, newId } from '../kernel/index.ts'
import type { Tx } from '../store/index.ts'
import {
  checkExtra,
  checkManager,
  classColumns,
  entitlementEvents,
  ialColumns,
  type JoinFields,
  keepExternalIds,
  labelEvents,
  nameTaken,
  refuseTaken,
} from './lifecycle.fields.ts'
import { identityEvent, type OwnerInput, ownerOf, recordResolved } from './lifecycle.owners.ts'
import { checkIdentityName, checkText, DEFAULT_TENANCY, refuse } from './record.model.ts'
import type { Row } from './record.store.ts'
import * as rows from './record.store.ts'

/**
 * A joiner: adds an identity with its first event (`identity.joined`) in the caller's transaction. Resolves with its id, which never
 * changes. Throws `conflict` if the name is taken, also in other case, or an external id is; `bad_input`; `not_found` for an owner or a
 * manager that does not exist.
 */
export async function joinIdentity(tx: Tx, ctx: Ctx, fields: JoinFields): Promise<string> {
  checkIdentityName(fields.name)
  const extra = checkExtra(fields)
  await Promise.all([rows.lockRecord(tx, 'shared'), rows.lockName(tx, fields.name)])
  await refuseTaken(tx, fields.name, null)
  const row = await newRow(tx, ctx, fields)
  if (!(await rows.insertRow(tx, row))) nameTaken(fields.name)
  await keepExternalIds(tx, ctx, row.id, extra.externalIds)
  if (Object.keys(extra.labels).length > 0) await rows.setLabels(tx, row.id, extra.labels)
  await rows.addEntitlements(tx, row.id, extra.entitlements)
  await append(tx, ctx, [
    identityEvent('identity.joined', row, { ...rows.factsOf(row), externalIds: extra.externalIds.map((it) => ({ ...it })) }),
    ...labelEvents(row, {}, extra.labels),
    ...entitlementEvents(row, extra.entitlements, []),
  ])
  await recordResolved(tx, ctx, [...(row.kind === 'human' ? [row.name] : []), ...(fields.owner?.kind === 'name' ? [row.owner] : [])])
  return row.id
}

async function newRow(tx: Tx, ctx: Ctx, fields: JoinFields): Promise<Row> {
  const { name, kind, owner, purpose, environment, tenancy = DEFAULT_TENANCY, source, manager = null } = fields
  const id = newId(ctx.clock.now().getTime())
  const human = kind === 'human'
  if (!human && (owner === undefined || purpose === undefined || environment === undefined)) {
    refuse('An identity that is no person needs an owner, a purpose and an environment.')
  }
  const managerId = await checkManager(tx, kind, id, manager)
  const self = { owner: name, owner_identity_id: id, owner_team_id: null }
  const wanted: OwnerInput | undefined = owner ?? (managerId === null ? undefined : { kind: 'person', id: managerId })
  return {
    id,
    name,
    name_key: nameKey(name),
    kind,
    ...(wanted === undefined ? self : await ownerOf(tx, wanted)),
    purpose: checkText('purpose', purpose ?? 'person'),
    environment: checkText('environment', environment ?? 'none'),
    tenancy: checkText('tenancy', tenancy),
    source: checkText('source', source),
    status: 'active',
    manager_id: managerId,
    ...classColumns(fields.recoveryClass ?? null),
    ...ialColumns(kind, fields.ial ?? null),
    left_at: null,
    barred: false,
  }
}
