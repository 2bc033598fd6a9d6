import { type Command, InvalidArgumentError, Option } from 'commander'
import { type Add, type Group, seconds } from './program.parts.ts'

const AUTH = ['none', 'client_secret_basic', 'client_secret_post', 'private_key_jwt']

/** `value=level`, several times. The value may hold `=`. */
function worth(text: string, before: Readonly<Record<string, number>> = {}): Record<string, number> {
  const [, value, level] = /^(.+)=([123])$/.exec(text) ?? []
  if (value === undefined) throw new InvalidArgumentError('Write value=level with a level of 1, 2 or 3: urn:example:mfa=2.')
  return { ...before, [value]: Number(level) }
}

function level(text: string): number {
  if (!/^[12]$/.test(text)) throw new InvalidArgumentError('The level is 1 or 2.')
  return Number(text)
}

const collect = (value: string, before: readonly string[] = []) => [...before, value]

const KEEP_PASSKEYS = ['--keep-passkeys', 'leave the passkeys that were enrolled in logins by the link that goes'] as const
const removePasskeys = () =>
  new Option('--remove-passkeys', 'remove the passkeys that were enrolled in logins by the link that goes').conflicts('keepPasskeys')

/** Commands of logins: providers, the first administrator, sessions, passkeys. */
export function addLogin(program: Command, add: Add, group: Group): void {
  const login = group(program, 'login', 'how people log in')
  const bootstrap = { does: 'make a local administrator and a code by which they enrol a passkey', example: 'rekey login bootstrap ada' }
  add(login, 'bootstrap <name>', bootstrap, async () => (await import('./commands/login.ts')).loginBootstrap)
  const link = {
    does: 'say which subject of a provider a person is',
    example: 'rekey login link ada --provider corp --subject 00u1ab --reason "ticket 42"',
  }
  add(login, 'link <identity>', link, async () => (await import('./commands/login.ts')).loginLink)
    .requiredOption('--provider <name>', 'the login provider')
    .requiredOption('--subject <sub>', 'the person there, as in the claim `sub`')
    .requiredOption('--reason <text>', 'why, for the evidence')
    .addOption(removePasskeys())
    .option(...KEEP_PASSKEYS)
  const unlink = {
    does: 'take a link back, and end the sessions that the person began there',
    example: 'rekey login unlink ada --provider corp --reason "ticket 43"',
  }
  add(login, 'unlink <identity>', unlink, async () => (await import('./commands/login.ts')).loginUnlink)
    .requiredOption('--provider <name>', 'the login provider, also one that was removed')
    .requiredOption('--reason <text>', 'why, for the evidence')
    .addOption(removePasskeys())
    .option(...KEEP_PASSKEYS)
  addProviders(group(login, 'provider', 'OpenID providers at which people log in'), add)
  addOwn(program, add, group)
}

function addProviders(provider: Command, add: Add): void {
  const list = { does: 'list the login providers', example: 'rekey login provider list' }
  add(provider, 'list', list, async () => (await import('./commands/login.ts')).loginProviderList)
  const adding = {
    does: 'add a login provider',
    example:
      'rekey login provider add corp --issuer https://idp.example.com --client-id rekey --secret-file corp.secret --acr urn:example:mfa=2',
  }
  add(provider, 'add <name>', adding, async () => (await import('./commands/login.ts')).loginProviderAdd)
    .requiredOption('--issuer <url>', 'its issuer; its discovery document is read there')
    .requiredOption('--client-id <id>', 'what it calls this server')
    .addOption(
      new Option('--auth <method>', 'how this server proves itself there (client_secret_basic; none without a secret)').choices(AUTH),
    )
    .option('--secret-file <file>', 'the client secret, or the private key as JWK; - for standard input')
    .option('--scope <scope>', 'asked for beside openid; may be repeated', collect)
    .option('--acr <value=level>', 'what an acr value is worth: 1, 2 or 3; may be repeated', worth)
    .option('--amr <value=level>', 'what an amr value is worth; may be repeated', worth)
    .option('--aal <level>', 'what a login is worth that names none of them: 1 or 2 (1)', level)
    .option('--max-age <time>', 'how old a login there may be: 30m, 12h (24h)', seconds)
    .option('--link-by-email', 'link a person once by the verified address with which SCIM made them, if they hold nothing by hand')
  const remove = {
    does: 'take a login provider away, and end the sessions that began there',
    example: 'rekey login provider remove corp --reason "ticket 44"',
  }
  add(provider, 'remove <name>', remove, async () => (await import('./commands/login.ts')).loginProviderRemove).requiredOption(
    '--reason <text>',
    'why, for the evidence',
  )
  const confirm = {
    does: 'answer for a login provider and its links in place of who made them and has left',
    example: 'rekey login provider confirm corp --reason "ticket 42: ada left, looked at every link"',
  }
  add(provider, 'confirm <name>', confirm, async () => (await import('./commands/login.ts')).loginProviderConfirm).requiredOption(
    '--reason <text>',
    'why, for the evidence',
  )
}

function addOwn(program: Command, add: Add, group: Group): void {
  const session = group(program, 'session', 'who is logged in')
  const of = ['--identity <person>', 'only of this person, by id or name'] as const
  const list = { does: 'list open sessions', example: 'rekey session list --identity ada' }
  add(session, 'list', list, async () => (await import('./commands/session.ts')).sessionList).option(...of)
  const end = { does: 'end a session at once', example: 'rekey session end 01890000-0000-7000-8000-000000000000' }
  add(session, 'end <session>', end, async () => (await import('./commands/session.ts')).sessionEnd)
  const passkey = group(program, 'passkey', 'passkeys of people')
  const keys = { does: 'list passkeys', example: 'rekey passkey list --identity ada' }
  add(passkey, 'list', keys, async () => (await import('./commands/session.ts')).passkeyList).option(...of)
  const remove = {
    does: 'remove a passkey, and end the sessions that began with it',
    example: 'rekey passkey remove 01890000-0000-7000-8000-000000000000 --reason "phone lost"',
  }
  add(passkey, 'remove <passkey>', remove, async () => (await import('./commands/session.ts')).passkeyRemove).requiredOption(
    '--reason <text>',
    'why, for the evidence',
  )
}
