import { z } from 'zod'
import { discoverAccounts, systemWarnings } from '../../../credential/index.ts'
import { route } from '../../route.ts'
import { Name, pageOf, pageQuery, slicePage } from '../../views.ts'

const Account = z.object({ name: z.string(), canLogin: z.boolean() })
const Page = pageOf(Account).extend({ warnings: z.array(z.string()).describe('What about the system will keep rotations from working.') })

export const discoverAccountsRoute = route({
  method: 'GET',
  path: '/v1/systems/:name/accounts',
  summary: 'Accounts that exist on the system and are not in the inventory. Asks the system.',
  action: 'system:discover',
  params: z.strictObject({ name: Name }),
  query: z.strictObject(pageQuery),
  answers: { 200: { what: 'One page, by name', schema: Page } },
  problems: ['not_found', 'target_unreachable', 'target_not_authorised', 'target_conflict', 'target_unsupported'],
  handle: async ({ parts, ctx, may, params, query }) => {
    const found = await discoverAccounts(parts, ctx, may, params.name)
    const warnings = await systemWarnings(parts, ctx, may, params.name)
    return { status: 200, body: { ...slicePage(found, query, (it) => it.name), warnings } }
  },
})
