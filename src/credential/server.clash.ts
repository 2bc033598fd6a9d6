import { RekeyError } from '../kernel/index.ts'
import type { Run } from './rotation.run.ts'
import { meet, meetOthers } from './server.contact.ts'
import { isOneServer, isUnsure } from './server.model.ts'

/**
 * Before anything is made: the server says which one it is, and no other system on it may have an account of this rotation, since what
 * one rotates the other would be locked out of. Other systems that could be the same server are asked too. Throws what `meet` throws,
 * and `conflict` with both names.
 */
export async function refuseClash(run: Run): Promise<void> {
  const { work, ctx, parts } = run
  await meet(parts, ctx, work)
  const { system, credential } = work
  const mine = new Set([
    work.oldAccount,
    work.newAccount,
    ...(credential.isRoot && system.rootMatched !== null ? [system.rootMatched] : []),
  ])
  if (!credential.isRoot && system.rootMatched !== null && mine.has(system.rootMatched)) {
    throw clash(`The account "${system.rootMatched}" of ${system.name} is the one as which the server takes its root credential.`)
  }
  const unsure = work.rivals.filter(({ server }) => isUnsure(system.server, server)).map(({ name }) => name)
  const met = unsure.length === 0 ? null : await meetOthers(parts, ctx, unsure)
  for (const rival of work.rivals) {
    const { server, rootMatched } = met?.get(rival.name) ?? { server: rival.server, rootMatched: rival.matched }
    if (!isOneServer(system.server, server)) continue
    const held = rootMatched !== null && mine.has(rootMatched) ? { ...rival.held, [rootMatched]: `root@${rival.name}` } : rival.held
    const [first] = Object.entries(held)
    if (first === undefined) continue
    const [account, whose] = first
    throw clash(`The account "${account}" of ${system.name} is that of ${whose} already: ${rival.name} and ${system.name} are one server.`)
  }
}

function clash(message: string): RekeyError {
  return new RekeyError('conflict', message, {
    hint:
      'Let one alone have it: take the other out of the fleet file. If one is a copy with accounts of its own, say so: ' +
      'rekey system accept-server --apart.',
  })
}
