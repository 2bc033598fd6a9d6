import { printable, RekeyError } from '../kernel/index.ts'
import type { Run } from './rotation.run.ts'

/** How many rights a refusal names. */
const SHOWN = 5
/** How many characters of one: names on the system are its own texts, and it may be hostile. */
const SHOWN_CHARS = 200

/**
 * A replacement on another account is never wider: every right of the account that gets the new value must be one that the old
 * account has. Narrower is allowed, and told. Resolves with what evidence keeps; null where the account stays the same.
 */
export async function compareGrants(run: Run): Promise<{ before: number; after: number; missing: string[] } | null> {
  const { work } = run
  if (!run.plan.otherAccount) return null
  const able = run.parts.targets.connectorFor(work.system.connector).describe().canListGrants
  if (!able) return null
  const [before, after] = await Promise.all([
    run.target.listGrants(run.ctx, work.oldAccount),
    run.target.listGrants(run.ctx, work.newAccount),
  ])
  const had = new Set(before)
  const has = new Set(after)
  const wider = after.filter((grant) => !had.has(grant))
  if (wider.length > 0) {
    throw new RekeyError('target_conflict', `The account ${work.newAccount} may do more than ${work.oldAccount}: ${shown(wider)}.`, {
      hint: 'Take these rights away, or give them to both accounts, then run: rekey rotation retry',
      detail: 'wider',
    })
  }
  return {
    before: before.length,
    after: after.length,
    missing: before
      .filter((grant) => !has.has(grant))
      .slice(0, SHOWN)
      .map(harmless),
  }
}

/** The first few of names or rights that the system told, fit to be shown. */
export function shown(grants: readonly string[]): string {
  return grants.slice(0, SHOWN).map(harmless).join('; ') + (grants.length > SHOWN ? `; and ${grants.length - SHOWN} more` : '')
}

/** The text of a right without what could redraw a terminal or a page, and cut: it goes into status and evidence. */
function harmless(grant: string): string {
  const text = printable(Array.from(grant).slice(0, SHOWN_CHARS).join(''))
  return text.length > SHOWN_CHARS ? `${text.slice(0, SHOWN_CHARS)}…` : text.length < grant.length ? `${text}…` : text
}
