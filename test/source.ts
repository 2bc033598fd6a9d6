/** The repository as the rule tests see it: its text files, and its TypeScript as syntax trees, from the compiler's own API. */
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import type { Node, SourceFile } from 'typescript/unstable/ast'
import {
  isCallExpression,
  isExportDeclaration,
  isImportDeclaration,
  isImportTypeNode,
  isStringLiteral,
  SyntaxKind,
} from 'typescript/unstable/ast'
import { createVirtualFileSystem } from 'typescript/unstable/fs'
import { API } from 'typescript/unstable/sync'

export const ROOT = dirname(import.meta.dirname)

/** Never part of the repository's text: installed, generated or private. */
const OUTSIDE = new Set(['node_modules', '.git', '.rekey', 'dist', 'generated', 'coverage', 'rekey-drill'])
const BINARY = /\.(png|jpg|ico|gz|tar|woff2?|wasm|bin)$/

/** Paths relative to the root, `/`-separated, sorted, of the files below `folder` that are text. */
export function textFiles(folder = ''): string[] {
  const found: string[] = []
  const walk = (at: string) => {
    for (const entry of readdirSync(join(ROOT, at), { withFileTypes: true })) {
      const path = at === '' ? entry.name : `${at}/${entry.name}`
      // Of a linked worktree `.git` is a file.
      if (OUTSIDE.has(entry.name)) continue
      if (entry.isDirectory()) walk(path)
      else if (entry.isFile() && !BINARY.test(entry.name)) found.push(path)
    }
  }
  walk(folder)
  return found.sort()
}

/** The text of a file of the repository. */
export function textOf(path: string): string {
  return readFileSync(join(ROOT, path), 'utf8')
}

export interface Source {
  /** Relative to the root. */
  readonly path: string
  readonly text: string
  readonly tree: SourceFile
}

/** Every TypeScript file of the repository, parsed. Throws if tsconfig.json leaves one out. */
export function sources(): Source[] {
  const paths = textFiles().filter((path) => /^(src|test|bench|scripts|drill)\/.*\.tsx?$/.test(path))
  // The console runs in browsers: it has a configuration of its own.
  const pages = textFiles('console').filter((path) => /\.tsx?$/.test(path))
  return [...parsed(ROOT, paths, new API({ cwd: ROOT })), ...parsed(ROOT, pages, new API({ cwd: ROOT }), 'console/tsconfig.json')]
}

/** TypeScript that is not on disk, parsed: path → text. For tests of the rules themselves. */
export function imagined(files: Record<string, string>): Source[] {
  const absolute = Object.entries(files).map(([path, text]) => [`/imagined/${path}`, text])
  const config = JSON.stringify({ compilerOptions: { noLib: true, types: [] }, files: Object.keys(files) })
  const fs = createVirtualFileSystem(Object.fromEntries([...absolute, ['/imagined/tsconfig.json', config]]))
  return parsed('/imagined', Object.keys(files), new API({ cwd: '/imagined', fs }))
}

function parsed(root: string, paths: readonly string[], api: API, config = 'tsconfig.json'): Source[] {
  try {
    const project = api.updateSnapshot({ openProject: join(root, config) }).getProjects()[0]
    if (!project) throw new Error(`${config} does not open`)
    return paths.map((path) => {
      const tree = project.program.getSourceFile(join(root, path))
      if (!tree) throw new Error(`${path} is not covered by ${config}`)
      return { path, text: tree.text, tree }
    })
  } finally {
    api.close()
  }
}

/** Visits `node` and everything below it, parents first. */
export function visit(node: Node, see: (node: Node) => void): void {
  see(node)
  node.forEachChild((child) => visit(child, see))
}

/** Line number, from 1, of a node's first token. */
export function lineOf(source: Source, node: Node): number {
  return source.tree.getLineAndCharacterOfPosition(node.getStart(source.tree)).line + 1
}

export interface Import {
  /** As written. */
  readonly specifier: string
  /** Relative to the root if the specifier is relative, else null. */
  readonly path: string | null
  /** `dynamic` is `import()`; `type` leaves nothing at run time (`import type`, `export type … from`, `import('…').T`). */
  readonly how: 'static' | 'dynamic' | 'type'
  readonly line: number
}

/** What a file imports or re-exports. A dynamic import of something that is not a literal has the specifier ''. */
export function importsOf(source: Source): Import[] {
  const found: Import[] = []
  visit(source.tree, (node) => {
    const edge = edgeOf(node)
    if (!edge) return
    const relativePath = edge.specifier.startsWith('.') ? relative('/', join('/', dirname(source.path), edge.specifier)) : null
    found.push({ ...edge, path: relativePath, line: lineOf(source, node) })
  })
  return found
}

function edgeOf(node: Node): Pick<Import, 'specifier' | 'how'> | null {
  if (isImportDeclaration(node)) {
    return {
      specifier: literal(node.moduleSpecifier),
      how: node.importClause?.phaseModifier === SyntaxKind.TypeKeyword ? 'type' : 'static',
    }
  }
  if (isExportDeclaration(node)) {
    return node.moduleSpecifier ? { specifier: literal(node.moduleSpecifier), how: node.isTypeOnly ? 'type' : 'static' } : null
  }
  if (isImportTypeNode(node)) return { specifier: literal(node.argument), how: 'type' }
  if (isCallExpression(node) && node.expression.kind === SyntaxKind.ImportKeyword) {
    return { specifier: literal(node.arguments[0]), how: 'dynamic' }
  }
  return null
}

/** The value of a string literal, also when wrapped in a literal type; '' for anything else. */
function literal(node: Node | undefined): string {
  if (!node) return ''
  if (isStringLiteral(node)) return node.text
  return node.kind === SyntaxKind.LiteralType ? (node.forEachChild((child) => literal(child)) ?? '') : ''
}
