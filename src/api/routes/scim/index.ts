import type { ScimRoute } from '../../scim.ts'
import { createGroupRoute } from './create-group.ts'
import { createUserRoute } from './create-user.ts'
import { deleteGroupRoute } from './delete-group.ts'
import { deleteUserRoute } from './delete-user.ts'
import { listGroupsRoute } from './list-groups.ts'
import { listResourceTypesRoute } from './list-resource-types.ts'
import { listSchemasRoute } from './list-schemas.ts'
import { listUsersRoute } from './list-users.ts'
import { patchGroupRoute } from './patch-group.ts'
import { patchUserRoute } from './patch-user.ts'
import { readGroupRoute } from './read-group.ts'
import { readUserRoute } from './read-user.ts'
import { replaceGroupRoute } from './replace-group.ts'
import { replaceUserRoute } from './replace-user.ts'
import { searchAllRoute } from './search-all.ts'
import { searchGroupsRoute } from './search-groups.ts'
import { searchUsersRoute } from './search-users.ts'
import { showConfigRoute } from './show-config.ts'
import { showResourceTypeRoute } from './show-resource-type.ts'
import { showSchemaRoute } from './show-schema.ts'
import { bulkRoute, meRoutes } from './unsupported.ts'

/** Every route of SCIM. A file beside this one that declares one and is missing here fails a test. */
export const SCIM_ROUTES: readonly ScimRoute[] = [
  createGroupRoute,
  createUserRoute,
  deleteGroupRoute,
  deleteUserRoute,
  listGroupsRoute,
  listResourceTypesRoute,
  listSchemasRoute,
  listUsersRoute,
  patchGroupRoute,
  patchUserRoute,
  readGroupRoute,
  readUserRoute,
  replaceGroupRoute,
  replaceUserRoute,
  searchAllRoute,
  searchGroupsRoute,
  searchUsersRoute,
  showConfigRoute,
  showResourceTypeRoute,
  showSchemaRoute,
  bulkRoute,
  ...meRoutes,
]
