import { RekeyError } from '../../kernel/index.ts'
import type { Cli, CommonOptions } from '../cli.ts'
import { EXIT } from '../exit.ts'
import { readInput } from '../files.ts'
import type { Column } from '../output.ts'
import { span } from '../text.ts'

const PATH = '/v1/issuers'
const KEYS_BYTES = 48 * 1024

interface Issuer {
  readonly name: string
  readonly type: string
  readonly origin: string
  readonly audience: string
  readonly keysFrom: string
  readonly replay: string
  readonly maxTokenAgeSeconds: number
  readonly rules: number
  readonly weakRules: number
}

interface Rule {
  readonly id: string
  readonly part: string
  readonly identity: { readonly id: string; readonly name: string | null }
  readonly actsFor: { readonly id: string; readonly name: string | null } | null
  readonly claims: Readonly<Record<string, string>>
  readonly prefixes: Readonly<Record<string, string>>
  readonly scope: readonly string[] | null
  readonly environments: readonly string[] | null
}

interface AddOptions extends CommonOptions {
  readonly type: string
  readonly issuer?: string
  readonly trustDomain?: string
  readonly audience: string
  readonly keysUrl?: string
  readonly keysFile?: string
  readonly algorithm?: readonly string[]
  readonly maxAge?: number
  readonly skew?: number
  readonly keysMaxAge?: number
  readonly replay?: string
}

interface MapOptions extends CommonOptions {
  readonly identity: string
  readonly claim?: Readonly<Record<string, string>>
  readonly prefix?: Readonly<Record<string, string>>
  readonly actor?: boolean
  readonly actsFor?: string
  readonly scope?: readonly string[]
  readonly environment?: readonly string[]
  readonly hardware?: boolean
}

const COLUMNS: readonly Column<Issuer>[] = [
  { head: 'ISSUER', of: (it) => it.name },
  { head: 'TYPE', of: (it) => it.type },
  { head: 'ORIGIN', of: (it) => it.origin },
  { head: 'AUDIENCE', of: (it) => it.audience },
  { head: 'KEYS', of: (it) => it.keysFrom },
  { head: 'REPLAY', of: (it) => it.replay },
  { head: 'MAX AGE', of: (it) => span(it.maxTokenAgeSeconds * 1000) },
  { head: 'RULES', of: (it) => it.rules, right: true },
  { head: 'BY PREFIX', of: (it) => it.weakRules, right: true },
]

const texts = (claims: Readonly<Record<string, string>>, end: string) =>
  Object.entries(claims).map(([name, value]) => `${name}=${value}${end}`)

const RULE_COLUMNS: readonly Column<Rule>[] = [
  { head: 'ID', of: (it) => it.id },
  { head: 'IDENTITY', of: (it) => it.identity.name ?? `${it.identity.id} (gone)` },
  { head: 'OF', of: (it) => it.part },
  { head: 'CLAIMS', of: (it) => [...texts(it.claims, ''), ...texts(it.prefixes, '…')].join(' ') },
  { head: 'FOR', of: (it) => it.actsFor && (it.actsFor.name ?? it.actsFor.id) },
  { head: 'SCOPE', of: (it) => it.scope?.join(' ') ?? null },
  { head: 'ENVIRONMENTS', of: (it) => it.environments?.join(' ') ?? null },
  { head: 'WEAK', of: (it) => (Object.keys(it.prefixes).length > 0 ? 'prefix' : null) },
]

/** Trusts an issuer. */
export async function issuerAdd(cli: Cli, name: string, options: AddOptions): Promise<number> {
  const { type, audience, algorithm: algorithms, replay } = options
  const [origin, ...others] = [options.issuer, options.trustDomain].filter((given) => given !== undefined)
  if (origin === undefined || others.length > 0 || (type === 'spiffe') !== (options.trustDomain !== undefined)) {
    throw new RekeyError('bad_input', 'Give --issuer, or for type spiffe --trust-domain.')
  }
  const times = { maxTokenAgeSeconds: options.maxAge, clockSkewSeconds: options.skew, keysMaxAgeSeconds: options.keysMaxAge }
  const body = { name, type, origin, audience, algorithms, replay, keys: await keysOf(options), ...times }
  const done = await (await cli.client()).post<{ id: string; name: string }>(PATH, body, { startsWork: true })
  cli.out.fields(done, [
    ['issuer', done.name],
    ['next', `rekey issuer map ${done.name} --identity NAME --claim sub=VALUE`],
  ])
  return EXIT.ok
}

async function keysOf({ keysUrl, keysFile }: AddOptions): Promise<unknown> {
  if (keysUrl !== undefined && keysFile !== undefined) throw new RekeyError('bad_input', 'Give --keys-url or --keys-file, not both.')
  if (keysUrl !== undefined) return { from: 'url', url: keysUrl }
  if (keysFile === undefined) return { from: 'discovery' }
  const { bytes } = await readInput(keysFile, KEYS_BYTES)
  const text = Buffer.from(bytes).toString('utf8')
  try {
    return { from: 'inline', jwks: JSON.parse(text) }
  } catch {
    throw new RekeyError('bad_input', `${keysFile} is no JSON.`)
  }
}

/** Lists the issuers. */
export async function issuerList(cli: Cli): Promise<number> {
  cli.out.list(await (await cli.client()).all<Issuer>(PATH), COLUMNS, 'No issuer is trusted: see rekey issuer add --help')
  return EXIT.ok
}

/** Trusts an issuer no more. */
export async function issuerRemove(cli: Cli, name: string, { reason }: CommonOptions & { reason: string }): Promise<number> {
  const done = await (await cli.client()).post<{ name: string }>(`${pathOf(name)}/remove`, { reason }, { startsWork: true })
  cli.out.fields(done, [['removed', done.name]])
  return EXIT.ok
}

/** Answers for an issuer and its rules. */
export async function issuerConfirm(cli: Cli, name: string, { reason }: CommonOptions & { reason: string }): Promise<number> {
  const done = await (await cli.client()).post<{ name: string }>(`${pathOf(name)}/confirm`, { reason }, { startsWork: true })
  cli.out.fields(done, [['confirmed', done.name]])
  return EXIT.ok
}

/** Adds a rule. */
export async function issuerMap(cli: Cli, name: string, options: MapOptions): Promise<number> {
  const { identity, claim: claims, prefix: prefixes, actor, actsFor, scope, environment: environments, hardware } = options
  const part = actor === true ? 'actor' : 'subject'
  const body = { identity, part, claims, prefixes, actsFor, scope, environments, hardware }
  const done = await (await cli.client()).post<{ id: string }>(`${pathOf(name)}/rules`, body, { startsWork: true })
  if (prefixes !== undefined) cli.out.warn('the rule goes by a prefix: whoever gets a name that begins so is this identity too')
  cli.out.fields(done, [['rule', done.id]])
  return EXIT.ok
}

/** Lists the rules of an issuer. */
export async function issuerRules(cli: Cli, name: string): Promise<number> {
  const found = await (await cli.client()).all<Rule>(`${pathOf(name)}/rules`)
  cli.out.list(found, RULE_COLUMNS, 'It has no rules: its tokens stand for nobody. See rekey issuer map --help')
  return EXIT.ok
}

/** Takes a rule back. */
export async function issuerUnmap(cli: Cli, name: string, rule: string): Promise<number> {
  const done = await (await cli.client()).post<{ id: string }>(`${pathOf(name)}/rules/${encodeURIComponent(rule)}/remove`, undefined, {
    startsWork: true,
  })
  cli.out.fields(done, [['removed', done.id]])
  return EXIT.ok
}

function pathOf(name: string): string {
  return `${PATH}/${encodeURIComponent(name)}`
}
