import { type Command, InvalidArgumentError, Option } from 'commander'
import { type Add, collect, type Group, seconds } from './program.parts.ts'

const TYPES = ['oidc', 'kubernetes', 'ci', 'spiffe']
const TOKEN_FILE = ['--token-file <file>', 'write the token to this new file, readable by you alone, instead of showing it'] as const

/** Commands of proofs that programs present: API tokens, and issuers of signed tokens. */
export function addProofs(program: Command, add: Add, group: Group): void {
  addTokens(group(program, 'token', 'API tokens for automation'), add)
  addIssuers(group(program, 'issuer', 'issuers whose signed tokens count: CI, clusters, trust domains'), add)
}

function addTokens(token: Command, add: Add): void {
  const create = {
    does: 'make a token, with no more rights than your own',
    example: 'rekey token create nightly --role operator --environment prod --expires 30d --reason "nightly rotation"',
  }
  withLimits(add(token, 'create <name>', create, async () => (await import('./commands/token.ts')).tokenCreate))
    .option('--role <role>', 'what it may do; may be repeated. Without one it follows your own identity, within --scope', collect)
    .option('--expires <time>', 'its life: 30m, 12h, 30d (30d)', seconds)
    .option('--identity <identity>', 'whose it is, by id or name')
    .option('--acts-for <identity>', 'of an agent: for whom it acts, by id or name')
    .option('--force', 'although it then holds directory rights and credential rights')
    .option(...TOKEN_FILE)
    .requiredOption('--reason <text>', 'why, for the evidence')
  const list = { does: 'list the tokens that are good', example: 'rekey token list --all' }
  add(token, 'list', list, async () => (await import('./commands/token.ts')).tokenList)
    .option('--all', 'also those that were revoked or have ended')
    .option('--identity <identity>', 'only those of this identity, or that act for it, by id or name')
  const revoke = { does: 'revoke a token by id, or all of a name, at once', example: 'rekey token revoke nightly --reason "laptop lost"' }
  add(token, 'revoke <token>', revoke, async () => (await import('./commands/token.ts')).tokenRevoke)
    .requiredOption('--reason <text>', 'why, for the evidence')
    .option('--force', 'although it is the last way in; no start makes another one then')
    .option('--yes', "do not ask before a full administrator's token is revoked")
  const rotate = {
    does: 'make a new text for a token; the old one stays good for the overlap',
    example: 'rekey token rotate nightly --overlap 1h --token-file nightly.token',
  }
  add(token, 'rotate <token>', rotate, async () => (await import('./commands/token.ts')).tokenRotate)
    .option('--overlap <time>', 'how long the old text stays good: 0, 30m, 12h, 7d (24h)', seconds)
    .option('--expires <time>', 'life of the new text: 30m, 12h, 30d (30d)', seconds)
    .option(...TOKEN_FILE)
}

/** What any proof can be limited to. */
function withLimits(command: Command): Command {
  return command
    .option('--scope <action>', 'an action that it is limited to; may be repeated', collect)
    .option('--environment <name>', 'an environment that it is limited to; may be repeated', collect)
}

function addIssuers(issuer: Command, add: Add): void {
  const adding = {
    does: 'trust an issuer of signed tokens',
    example: 'rekey issuer add github --type ci --issuer https://token.actions.githubusercontent.com --audience https://rekey.example',
  }
  add(issuer, 'add <name>', adding, async () => (await import('./commands/issuer.ts')).issuerAdd)
    .addOption(new Option('--type <type>', 'what it is').choices(TYPES).makeOptionMandatory())
    .option('--issuer <url>', 'what its tokens say in iss')
    .option('--trust-domain <name>', 'of type spiffe: the trust domain')
    .requiredOption('--audience <text>', 'what its tokens must say in aud: us')
    .option('--keys-url <url>', 'where its public keys are, if not where its discovery document says')
    .option('--keys-file <file>', 'its public keys as a file (a JSON Web Key Set), instead of fetching them')
    .option('--algorithm <name>', 'a signature algorithm that is allowed; may be repeated', collect)
    .option('--max-age <time>', 'how old a token may be (10m; 1h for kubernetes)', seconds)
    .option('--skew <time>', 'how far its clock may be off (30s)', seconds)
    .option('--keys-max-age <time>', 'how long keys count without being fetched again (5m)', seconds)
    .addOption(
      new Option('--replay <how>', 'whether a token counts once: always, if it has a jti, or never').choices(['once', 'jti', 'age']),
    )
  const list = { does: 'list the issuers that are trusted', example: 'rekey issuer list' }
  add(issuer, 'list', list, async () => (await import('./commands/issuer.ts')).issuerList)
  const remove = { does: 'trust an issuer no more, at once', example: 'rekey issuer remove github --reason "moved to another CI"' }
  add(issuer, 'remove <name>', remove, async () => (await import('./commands/issuer.ts')).issuerRemove).requiredOption(
    '--reason <text>',
    'why, for the evidence',
  )
  const confirm = {
    does: 'answer for an issuer and its rules in place of who made them and has left',
    example: 'rekey issuer confirm github --reason "ticket 42: ada left, the keys are the firm\'s"',
  }
  add(issuer, 'confirm <name>', confirm, async () => (await import('./commands/issuer.ts')).issuerConfirm).requiredOption(
    '--reason <text>',
    'why, for the evidence',
  )
  const map = {
    does: 'let claims of its tokens stand for an identity',
    example: 'rekey issuer map github --identity shop-deploy --claim repository=acme/shop --claim environment=prod',
  }
  withLimits(add(issuer, 'map <name>', map, async () => (await import('./commands/issuer.ts')).issuerMap))
    .requiredOption('--identity <identity>', 'for whom they stand, by id or name')
    .option('--claim <claim=value>', 'a claim and what it must be; may be repeated. A name that begins with / is a JSON pointer', pair)
    .option('--prefix <claim=value>', 'a claim and what it must begin with, up to a / or : (weaker); may be repeated', pair)
    .option('--actor', 'claims of act, which stand for an agent')
    .option('--acts-for <identity>', 'for whom an agent acts whose tokens do not say so')
    .option('--hardware', 'the claims say that the key of a bound token lies in hardware')
  const rules = { does: 'list the rules of an issuer', example: 'rekey issuer rules github' }
  add(issuer, 'rules <name>', rules, async () => (await import('./commands/issuer.ts')).issuerRules)
  const unmap = { does: 'take a rule back', example: 'rekey issuer unmap github 01890000-0000-7000-8000-000000000000' }
  add(issuer, 'unmap <name> <rule>', unmap, async () => (await import('./commands/issuer.ts')).issuerUnmap)
}

/** Collects `name=value`; the name ends at the first `=`. */
function pair(text: string, before: Readonly<Record<string, string>> = {}): Record<string, string> {
  const at = text.indexOf('=')
  const name = text.slice(0, at)
  if (at < 1 || Object.hasOwn(before, name)) throw new InvalidArgumentError('Write each once, as claim=value.')
  return { ...before, [name]: text.slice(at + 1) }
}
