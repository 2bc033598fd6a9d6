/** Which area owns which table, and where SQL text names one. */
import type { Node } from 'typescript/unstable/ast'
import { SyntaxKind } from 'typescript/unstable/ast'
import { lineOf, type Source, visit } from './source.ts'

/** Table → the folder under src/ that holds every statement on it. A table that is missing here fails a test. */
export const TABLE_OWNERS: Record<string, string> = {
  evidence_event: 'evidence',
  evidence_node: 'evidence',
  evidence_checkpoint: 'evidence',
  evidence_key: 'evidence',
  kek: 'keys',
  installation_key: 'keys',
  api_token: 'identity',
  idempotency: 'identity',
  identity: 'identity',
  team: 'identity',
  identity_label: 'identity',
  identity_pair: 'identity',
  identity_external: 'identity',
  entitlement: 'identity',
  team_member: 'identity',
  team_nesting: 'identity',
  handover: 'identity',
  former_owner: 'identity',
  identity_change: 'identity',
  entitlement_change: 'identity',
  role_binding: 'identity',
  both_hands: 'identity',
  policy_set: 'identity',
  issuer: 'identity',
  issuer_rule: 'identity',
  proof_seen: 'identity',
  scim_provider: 'identity',
  scim_token: 'identity',
  scim_user: 'identity',
  scim_wait: 'identity',
  way_lost: 'identity',
  way_lost_team: 'identity',
  scim_email: 'identity',
  scim_group: 'identity',
  scim_member: 'identity',
  login_provider: 'identity',
  login_flow: 'identity',
  passkey: 'identity',
  passkey_challenge: 'identity',
  session: 'identity',
  step_up_proof: 'identity',
  enrolment_code: 'identity',
  bootstrap_person: 'identity',
  login_device: 'identity',
  login_counter: 'identity',
  approval: 'identity',
  approval_factor: 'identity',
  approval_approver: 'identity',
  approval_decision: 'identity',
  approval_rule: 'identity',
  notify_channel: 'identity',
  notify_delivery: 'identity',
  system: 'credential',
  credential: 'credential',
  account: 'credential',
  version: 'credential',
  consumer: 'credential',
  rotation: 'credential',
  activation: 'credential',
  root_recheck: 'credential',
  challenge: 'credential',
  closure: 'credential',
  closure_item: 'credential',
  exception: 'credential',
  review: 'credential',
}

/** The tables that a migration creates, in lower case, without schema. */
export function tablesIn(sql: string): string[] {
  const text = sql.replace(/--.*$/gm, '').replace(/\/\*[\s\S]*?\*\//g, '')
  const found = text.matchAll(/create\s+(?:unlogged\s+)?table\s+(?:if\s+not\s+exists\s+)?(?:"?\w+"?\.)?"?(\w+)"?/gi)
  return [...found].map((match) => (match[1] ?? '').toLowerCase())
}

const STATEMENT =
  /\bselect\b[\s\S]*\bfrom\b|\binsert\s+into\b|\bupdate\s[\s\S]*\bset\b|\bdelete\s+from\b|\btruncate\b|\b(lock|alter)\s+table\b/i
const FRAGMENT = /^\s*((left|right|inner|cross|full)\s+)?(from|join)\b/i
const AFTER_WORD = /\b(?:from|join|into|update|table|truncate|references|using|only)\s+(?:only\s+)?(?:"?\w+"?\.)?"?([a-z_]\w*)"?/gi
const AFTER_COMMA = /,\s*([a-z_]\w*)\s+\w+\s+where\b/gi

/** Which of `tables` a text names, if it reads as SQL. Prose that merely says "from credential" is not SQL. */
export function namesIn(text: string, tables: readonly string[]): string[] {
  if (!STATEMENT.test(text) && !FRAGMENT.test(text)) return []
  const named = [...text.matchAll(AFTER_WORD), ...text.matchAll(AFTER_COMMA)].map((match) => (match[1] ?? '').toLowerCase())
  return named.filter((table) => tables.includes(table))
}

/** Where string or template literals name one of `tables` in SQL. */
export function tablesNamed(source: Source, tables: readonly string[]): { table: string; line: number }[] {
  const found: { table: string; line: number }[] = []
  visit(source.tree, (node) => {
    const text = literalText(source, node)
    for (const table of text === null ? [] : namesIn(text, tables)) found.push({ table, line: lineOf(source, node) })
  })
  return found
}

function literalText(source: Source, node: Node): string | null {
  const kinds: readonly SyntaxKind[] = [SyntaxKind.StringLiteral, SyntaxKind.NoSubstitutionTemplateLiteral, SyntaxKind.TemplateExpression]
  return kinds.includes(node.kind) ? node.getText(source.tree).slice(1, -1) : null
}
