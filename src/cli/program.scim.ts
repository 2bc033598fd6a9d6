import type { Command } from 'commander'
import { type Add, type Group, seconds } from './program.parts.ts'

/** Commands of SCIM: identity providers and their tokens. */
export function addScim(program: Command, add: Add, group: Group): void {
  const provider = group(group(program, 'scim', 'people and groups from identity providers'), 'provider', 'identity providers that push')
  const tokenFile = ['--token-file <file>', 'write the token to this new file, readable by you alone, instead of showing it'] as const
  const list = { does: 'list the identity providers', example: 'rekey scim provider list' }
  add(provider, 'list', list, async () => (await import('./commands/scim-provider.ts')).scimProviderList)
  const adding = { does: 'add an identity provider and make its token', example: 'rekey scim provider add entra --offboard-after 7d' }
  add(provider, 'add <name>', adding, async () => (await import('./commands/scim-provider.ts')).scimProviderAdd)
    .option('--offboard-after <time>', 'from "not active" to offboarded: 0, 30m, 12h, 7d (7d)', seconds)
    .option('--tenancy <name>', 'of the people and teams that it pushes (default)')
    .option(...tokenFile)
  const rotate = {
    does: 'make a new token; the old one stays good for the overlap',
    example: 'rekey scim provider rotate entra --overlap 24h --token-file entra.token',
  }
  add(provider, 'rotate <name>', rotate, async () => (await import('./commands/scim-provider.ts')).scimProviderRotate)
    .option('--overlap <time>', 'how long the old token stays good: 0, 30m, 12h, 7d (24h)', seconds)
    .option(...tokenFile)
  const revoke = { does: 'revoke every token of an identity provider; what it pushed stays', example: 'rekey scim provider revoke entra' }
  add(provider, 'revoke <name>', revoke, async () => (await import('./commands/scim-provider.ts')).scimProviderRevoke)
}
