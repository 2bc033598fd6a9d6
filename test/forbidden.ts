/** Calls that only one place of the product may make, recognised in the syntax tree. */
import type { Node } from 'typescript/unstable/ast'
import { isCallExpression, isIdentifier, isNewExpression, isPropertyAccessExpression, SyntaxKind } from 'typescript/unstable/ast'
import { importsOf, type Source } from './source.ts'

/** `process.env` in any spelling: as a property, by destructuring, by import. */
export function readsEnvironment(node: Node): boolean {
  const text = node.getText()
  if (isPropertyAccessExpression(node) || node.kind === SyntaxKind.ElementAccessExpression)
    return /^process\??\.?\[?\s*['"]?env['"]?\]?$/.test(text)
  if (node.kind === SyntaxKind.VariableDeclaration) return /^\{[^}]*\benv\b[^}]*\}\s*=\s*process$/.test(text)
  return node.kind === SyntaxKind.ImportDeclaration && /\benv\b.*from\s+['"](node:)?process['"]/s.test(text)
}

/** Reads of wall or monotonic time. `new Date(x)` with an argument is conversion, not reading. */
export function readsTime(node: Node): boolean {
  if (isNewExpression(node)) return isNamed(node.expression, 'Date') && (node.arguments ?? []).length === 0
  if (isCallExpression(node) && isNamed(node.expression, 'Date')) return true
  return isPropertyAccessExpression(node) && /^(Date\.now|performance\.(now|timeOrigin)|process\.(hrtime|uptime))$/.test(node.getText())
}

function isNamed(node: Node, name: string): boolean {
  return isIdentifier(node) && node.text === name
}

/** Imports of node:crypto, or Web Crypto's algorithms; `crypto.getRandomValues` alone is no primitive to get wrong. */
export function touchesCrypto(source: Source): boolean {
  return importsOf(source).some(({ specifier }) => /^(node:)?crypto$/.test(specifier)) || /\bcrypto\??\.subtle\b/.test(source.text)
}
