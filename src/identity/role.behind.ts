/** Who stands behind what: nobody raises their own rights, neither directly nor through what is theirs. */
import { RekeyError } from '../kernel/index.ts'
import type { Principal } from '../policy/index.ts'
import type { Sql, Tx } from '../store/index.ts'
import { everybodyBehind, standBehind } from './behind.ts'
import { shareHuman } from './person.ts'

/**
 * Throws `forbidden` if the asker stands behind one of these: it is the asker, the asker's identity or whom the asker acts for; a token
 * that one of them has or made, or that acts for one of them; or a program that one of them answers for, alone or with a team, or did
 * alone until lately, or for which one of them made an issuer or mapped a rule.
 */
export async function requireOthers(
  tx: Tx,
  by: Principal,
  those: { readonly identities?: readonly string[]; readonly teams?: readonly string[]; readonly tokens?: readonly string[] },
  words: string,
): Promise<void> {
  if (!(await touches(tx, by, those))) return
  const hint = 'Ask somebody else who may do role:bind. A program that was yours counts as yours for some time.'
  throw new RekeyError('forbidden', words, { hint })
}

async function touches(sql: Sql, by: Principal, { identities = [], teams = [], tokens = [] }: Parameters<typeof requireOthers>[2]) {
  const selves = await everybodyBehind(sql, by, 'crews')
  const all = await standBehind(sql, [...identities, ...teams, ...tokens], 'crews')
  return shareHuman(sql, selves, all)
}
