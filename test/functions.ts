/** Functions with their lengths, and the docstrings of what an area exports. */
import type { Node } from 'typescript/unstable/ast'
import { isCallExpression, isExportDeclaration, isVariableStatement, SyntaxKind } from 'typescript/unstable/ast'
import { type Source, visit } from './source.ts'

const FUNCTIONS: ReadonlySet<SyntaxKind> = new Set([
  SyntaxKind.FunctionDeclaration,
  SyntaxKind.FunctionExpression,
  SyntaxKind.ArrowFunction,
  SyntaxKind.MethodDeclaration,
  SyntaxKind.Constructor,
  SyntaxKind.GetAccessor,
  SyntaxKind.SetAccessor,
])

export interface Measured {
  /** Its own name, or that of what it is assigned or passed to. Two of one name in a file: `name~2`. */
  readonly name: string
  /** From its first token to its last, without the docstring. */
  readonly lines: number
}

/** Functions of a file, nested ones too. The callbacks of `describe` are left out: they are chapters, not functions. */
export function functionsOf(source: Source): Measured[] {
  const found: Measured[] = []
  const seen = new Map<string, number>()
  visit(source.tree, (node) => {
    if (!FUNCTIONS.has(node.kind) || isChapter(node, source)) return
    const name = nameOf(node, source)
    const count = (seen.get(name) ?? 0) + 1
    seen.set(name, count)
    const line = (position: number) => source.tree.getLineAndCharacterOfPosition(position).line
    found.push({ name: count === 1 ? name : `${name}~${count}`, lines: line(node.getEnd()) - line(node.getStart(source.tree)) + 1 })
  })
  return found
}

function isChapter(node: Node, source: Source): boolean {
  return isCallExpression(node.parent) && /^describe\b/.test(node.parent.expression.getText(source.tree))
}

function nameOf(node: Node, source: Source): string {
  if (node.kind === SyntaxKind.Constructor) return 'constructor'
  for (let at = node; at.kind !== SyntaxKind.SourceFile; at = at.parent) {
    const name = at !== node && FUNCTIONS.has(at.kind) ? `${nameOf(at, source)}.inner` : ownName(at, source)
    if (name) return name
  }
  return 'anonymous'
}

function ownName(node: Node, source: Source): string | null {
  if (isCallExpression(node)) {
    const title = node.arguments[0]
    const isTest = /^(test|it)\b/.test(node.expression.getText(source.tree))
    return isTest && title?.kind === SyntaxKind.StringLiteral ? title.getText(source.tree).slice(1, -1) : null
  }
  const named: Node & { readonly name?: Node } = node
  return named.name ? named.name.getText(source.tree) : null
}

/** `path name` of everything that an index.ts exports, directly or from another file, whose definition has no docstring. */
export function undocumentedExports(sources: readonly Source[]): string[] {
  const byPath = new Map(sources.map((source) => [source.path, source]))
  const found: string[] = []
  for (const source of sources.filter(({ path }) => /^src\/[^/]+\/index\.ts$/.test(path))) {
    for (const [name, definition] of exportsOf(source, byPath)) {
      if (!definition?.jsDoc?.length) found.push(`${source.path} ${name}`)
    }
  }
  return found
}

/** Exported name → its definition (null: not found, which is a fault too). */
function exportsOf(source: Source, byPath: ReadonlyMap<string, Source>): Map<string, Node | null> {
  const found = new Map<string, Node | null>()
  for (const statement of source.tree.statements) {
    for (const name of declaredNames(statement, source)) if (isExported(statement)) found.set(name, statement)
    if (!isExportDeclaration(statement)) continue
    const specifier = statement.moduleSpecifier?.getText(source.tree).slice(1, -1)
    const from = specifier ? byPath.get(resolve(source.path, specifier)) : source
    if (!statement.exportClause) for (const [name, node] of from ? exportsOf(from, byPath) : []) found.set(name, node)
    statement.exportClause?.forEachChild((element) => {
      const [original, alias] = element
        .getText(source.tree)
        .replace(/^type\s+/, '')
        .split(/\s+as\s+/)
      const name = alias ?? original ?? ''
      found.set(name, from ? definitionOf(original ?? '', from, byPath) : null)
    })
  }
  return found
}

function definitionOf(name: string, source: Source, byPath: ReadonlyMap<string, Source>): Node | null {
  const own = source.tree.statements.find((statement) => declaredNames(statement, source).includes(name))
  return own ?? exportsOf(source, byPath).get(name) ?? null
}

function declaredNames(statement: Node, source: Source): string[] {
  if (isVariableStatement(statement)) return statement.declarationList.declarations.map((one) => one.name.getText(source.tree))
  const named: Node & { readonly name?: Node } = statement
  return named.name ? [named.name.getText(source.tree)] : []
}

function isExported(statement: Node): boolean {
  return /^export\b/.test(statement.getText())
}

function resolve(from: string, specifier: string): string {
  return new URL(specifier, `file:///${from}`).pathname.slice(1)
}
