import { Command, Option } from 'commander'
import manifest from '../../package.json' with { type: 'json' }
import type { CommonOptions } from './cli.ts'
import { addApprovals } from './program.approval.ts'
import { addClosure } from './program.closure.ts'
import { addRecord } from './program.identity.ts'
import { addLogin } from './program.login.ts'
import { type Add, type Run, type Texts, wholeNumber } from './program.parts.ts'
import { addPolicy } from './program.policy.ts'
import { addProofs } from './program.proof.ts'
import { addScim } from './program.scim.ts'

/**
 * All commands with their help. What a command does is loaded only when it runs: `rekey --help` must not wait for a database driver.
 * `onStatus` gets the exit status of the command that ran; with `quiet`, usage errors are left to the caller to print.
 */
export function makeProgram(onStatus: (status: number) => void, quiet: boolean): Command {
  const program = new Command('rekey')
    .description('Replaces credentials under pressure, and proves that the old ones are dead.')
    .version(manifest.version)
    .exitOverride()
    .configureOutput({
      outputError: (text, write) => write(text.replace(/^error: /, 'rekey: ')),
      ...(quiet ? { writeErr: () => undefined } : {}),
    })
    .showHelpAfterError('hint: add --help to see how it is used')
    .addHelpText('after', ENVIRONMENT)
  const add = adder(onStatus)
  addRunning(program, add)
  addInventory(program, add)
  addRotation(program, add)
  addClosure(program, add, group)
  addEvidence(program, add)
  addPolicy(program, add, group)
  addScim(program, add, group)
  addApprovals(program, add, group)
  addLogin(program, add, group)
  addProofs(program, add, group)
  return program
}

const ENVIRONMENT = `
Environment:
  REKEY_URL         where the server is (http://127.0.0.1:7395)
  REKEY_LISTEN      the same without http://, where REKEY_URL is not set
  REKEY_TOKEN_FILE  the file with the token (admin.token in the data folder)
  REKEY_SERVER_UID  the user, by number, that the server on this machine runs as (root, you, the owner of the token file)
  REKEY_DATA        the data folder (.rekey)
  NO_COLOR          no colours

Exit status: 0 ok, 1 failed, 2 usage or bad input, 3 blocked, 4 irrevocable or not provable, 5 undone, 6 no server, 130 interrupted`

const SERVE_ENVIRONMENT = `
Environment:
  DATABASE_URL           a PostgreSQL 15 or newer instead of the embedded one
  REKEY_DATA             the data folder (.rekey)
  REKEY_LISTEN           address of the API (127.0.0.1:7395)
  REKEY_TOKEN_FILE       where the admin token is written (admin.token in the data folder)
  REKEY_PASSPHRASE_FILE  the file with the passphrase of the keys (without it: files in the data folder)
  REKEY_PUBLIC_URL       where browsers find this server, https://NAME (http://localhost and the port)
  REKEY_SHRED_AFTER      seconds for which a dead value is kept (604800)
  REKEY_DESTROY_AFTER    seconds from an offboarding until suspended credentials are destroyed (0)
  REKEY_TOKEN_MAX        the longest life of an API token, seconds (7776000)
  REKEY_REFUSE_NETWORKS  networks in which Rekey calls nothing: address/prefix, separated by commas (link-local, multicast)
  REKEY_TRUST_PROXIES    networks of proxies whose X-Forwarded-For counts: address/prefix, separated by commas (none)
  REKEY_LOG              debug, info, warn, error or silent (info)`

function adder(onStatus: (status: number) => void): Add {
  return <A extends unknown[]>(parent: Command, usage: string, { does, example }: Texts, load: () => Promise<Run<A>>) => {
    const command = parent.command(usage).description(does).option('--json', 'one JSON object a line, also for errors')
    command.addHelpText('after', `\nExample:\n  ${example}`)
    return command.action(async (...given: unknown[]) => {
      // Commander adds the command itself behind arguments and options.
      given.pop()
      const [{ openCli }, run] = await Promise.all([import('./cli.ts'), load()])
      // Sound as long as usage and options declare what the command's function takes: the scripts in test/cli/ run every one.
      onStatus(await run(openCli(given.at(-1) as CommonOptions), ...(given as A)))
    })
  }
}

function group(program: Command, name: string, does: string): Command {
  return program.command(name).description(does)
}

const DATA = ['--data <folder>', 'folder of the database, keys and token (REKEY_DATA, .rekey)'] as const
const WAIT = ['--wait', 'wait until every rotation has ended, and print each'] as const

function addRunning(program: Command, add: Add): void {
  add(
    program,
    'serve',
    { does: 'run server and worker until SIGTERM', example: 'rekey serve --data /var/lib/rekey --listen 127.0.0.1:7395' },
    async () => {
      const { serve } = await import('./commands/serve.ts')
      return (_cli, options: Parameters<typeof serve>[0]) => serve(options)
    },
  )
    .option(...DATA)
    .addOption(new Option('--role <role>', 'what this process does').choices(['server', 'worker', 'all']).default('all'))
    .option(
      '--listen <host:port>',
      'address of the API (REKEY_LISTEN, 127.0.0.1:7395); of a worker: of its /healthz, /readyz and /metrics (none)',
    )
    .addHelpText('after', SERVE_ENVIRONMENT)
  const status = { does: 'show what there is, what is under way and what waits for a human', example: 'rekey status' }
  add(program, 'status', status, async () => (await import('./commands/status.ts')).status)
  const fsck = { does: 'check the stored evidence; needs no server', example: 'rekey fsck --data /var/lib/rekey' }
  add(program, 'fsck', fsck, async () => (await import('./commands/fsck.ts')).fsck).option(...DATA)
  const kek = group(program, 'kek', 'key-encryption keys')
  add(
    kek,
    'list',
    { does: 'list the key-encryption keys', example: 'rekey kek list' },
    async () => (await import('./commands/kek-list.ts')).kekList,
  )
  const rotate = { does: 'make a new key-encryption key and wrap every data key with it', example: 'rekey kek rotate' }
  add(kek, 'rotate', rotate, async () => (await import('./commands/kek-rotate.ts')).kekRotate)
}

function addInventory(program: Command, add: Add): void {
  const apply = { does: 'show what a fleet file would change, ask, and apply it', example: 'rekey apply -f fleet.yaml' }
  add(program, 'apply', apply, async () => (await import('./commands/apply.ts')).apply)
    .requiredOption('-f, --file <file>', 'the fleet file; - for standard input')
    .option('--dry-run', 'only show')
    .option('--yes', 'do not ask')
    .option('--prune', 'remove what is not in the file and not alive')
  const discover = { does: 'list accounts of a system that are not in the inventory', example: 'rekey discover orders-db' }
  add(program, 'discover <system>', discover, async () => (await import('./commands/discover.ts')).discover)
  const system = group(program, 'system', 'systems on which accounts live')
  add(
    system,
    'list',
    { does: 'list the systems', example: 'rekey system list' },
    async () => (await import('./commands/system-list.ts')).systemList,
  )
  const root = { does: 'rotate the root credential of a system', example: 'rekey system rotate-root orders-db --wait' }
  add(system, 'rotate-root <system>', root, async () => (await import('./commands/system-rotate-root.ts')).systemRotateRoot)
    .option(...WAIT)
    .option('--reason <text>', 'why, for the evidence')
  const set = {
    does: 'tell Rekey a root secret that was changed on the system by hand',
    example: 'rekey system set-root orders-db --secret-file /run/root.secret',
  }
  add(system, 'set-root <system>', set, async () => (await import('./commands/system-set-root.ts')).systemSetRoot)
    .option('--secret-file <file>', 'the file with the value; - for standard input')
    .option('--prompt', 'ask for it on the terminal')
  const accept = {
    does: 'take the server that answers for a system now for the system',
    example: 'rekey system accept-server orders-db --reason "moved to a new host"',
  }
  add(system, 'accept-server <system>', accept, async () => (await import('./commands/system-accept-server.ts')).systemAcceptServer)
    .requiredOption('--reason <text>', 'why, for the evidence')
    .option('--apart', "it is a copy of another system's server, with accounts of its own")
  const decommission = {
    does: 'give up a system: rotate nothing on it any more, destroy its root secret',
    example: 'rekey system decommission orders-db --reason "host was scrapped"',
  }
  add(system, 'decommission <system>', decommission, async () => (await import('./commands/system-decommission.ts')).systemDecommission)
    .requiredOption('--reason <text>', 'why, for the evidence')
    .option('--unprovable', 'also if something on it is alive and it does not answer')
    .option('--yes', 'do not ask')
  addRecord(program, add, group)
  addCredential(group(program, 'credential', 'credentials and their versions'), add)
  const consumer = group(program, 'consumer', 'who uses a credential')
  const report = {
    does: 'prove that a consumer has the new value, without sending it',
    example: 'rekey consumer report orders-api@orders-db orders-api-1 --secret-file /run/orders.secret',
  }
  add(
    consumer,
    'report <credential> <consumer>',
    report,
    async () => (await import('./commands/consumer-report.ts')).consumerReport,
  ).requiredOption('--secret-file <file>', 'the file with the new value; - for standard input')
}

function addCredential(credential: Command, add: Add): void {
  const credentials = { does: 'list the credentials', example: 'rekey credential list --system orders-db' }
  add(credential, 'list', credentials, async () => (await import('./commands/credential-list.ts')).credentialList).option(
    '--system <system>',
    'only those of this system',
  )
  const show = { does: 'show a credential, its versions and its consumers', example: 'rekey credential show orders-api@orders-db' }
  add(credential, 'show <credential>', show, async () => (await import('./commands/credential-show.ts')).credentialShow)
  const end = {
    does: 'end a credential of somebody who was offboarded, for whoever still uses it',
    example: 'rekey credential end reporting@orders-db --reason "nobody may use it any more" --wait',
  }
  add(credential, 'end <credential>', end, async () => (await import('./commands/credential-end.ts')).credentialEnd)
    .requiredOption('--reason <text>', 'why, for the evidence')
    .option('--wait', 'wait until it is proven dead, or waits for a human')
    .option('--yes', 'do not ask')
}

function addRotation(program: Command, add: Add): void {
  const rotation = group(program, 'rotation', 'moves of a credential from one value to the next')
  const start = {
    does: 'rotate credentials: by name, all of a system, or all',
    example: 'rekey rotation start --system orders-db --wait --reason "laptop lost"',
  }
  add(rotation, 'start [credentials...]', start, async () => (await import('./commands/rotation-start.ts')).rotationStart)
    .option('--system <system>', 'all credentials of this system')
    .option('--all', 'all credentials')
    .option(...WAIT)
    .option('--reason <text>', 'why, for the evidence')
    .option('--urgent', 'skip grace periods: the old value is known to be out')
  add(
    rotation,
    'list',
    { does: 'list rotations, newest first', example: 'rekey rotation list --state blocked' },
    async () => (await import('./commands/rotation-list.ts')).rotationList,
  )
    .option('--batch <id>', 'only those that were started together')
    .option('--credential <credential>', 'only those of this credential')
    .option('--state <state>', 'only those in this state')
    .option('--limit <number>', 'at most so many', wholeNumber)
  const show = {
    does: 'show a rotation with all its times, and what people did to it',
    example: 'rekey rotation show 01890000-0000-7000-8000-000000000000',
  }
  add(rotation, 'show <rotation>', show, async () => (await import('./commands/rotation-show.ts')).rotationShow)
  const retry = { does: 'let a blocked rotation go on', example: 'rekey rotation retry 01890000-0000-7000-8000-000000000000' }
  add(rotation, 'retry <rotation>', retry, async () => (await import('./commands/rotation-retry.ts')).rotationRetry)
  const undo = {
    does: 'take a rotation back, as long as the old value is not retired',
    example: 'rekey rotation undo 01890000-0000-7000-8000-000000000000',
  }
  add(rotation, 'undo <rotation>', undo, async () => (await import('./commands/rotation-undo.ts')).rotationUndo).option(
    '--reason <text>',
    'why, for the evidence',
  )
  const resolve = {
    does: "decide, by a human's word, what cannot be found out",
    example: 'rekey rotation resolve 01890000-0000-7000-8000-000000000000 --irrevocable --by ada --reason "vendor has no revocation"',
  }
  add(rotation, 'resolve <rotation>', resolve, async () => (await import('./commands/rotation-resolve.ts')).rotationResolve)
    .option('--override-activation', 'go on although a consumer was not seen with the new value')
    .option('--irrevocable', 'end it: the old value cannot be revoked')
    .requiredOption('--by <name>', 'who decides')
    .requiredOption('--reason <text>', 'why')
}

function addEvidence(program: Command, add: Add): void {
  const evidence = group(program, 'evidence', 'the record and its proofs')
  const bundle = { does: 'write events, proofs and report to one file', example: 'rekey evidence export --out evidence.html' }
  add(evidence, 'export', bundle, async () => (await import('./commands/evidence-export.ts')).evidenceExport).requiredOption(
    '--out <file>',
    'where to; - for standard output',
  )
  const verify = { does: 'check a bundle; needs no server', example: 'rekey evidence verify evidence.html --key evidence.key' }
  add(evidence, 'verify <bundle>', verify, async () => (await import('./commands/evidence-verify.ts')).evidenceVerify).requiredOption(
    '--key <file>',
    'file with the public key, as `rekey evidence key` prints it',
  )
  add(
    evidence,
    'key',
    { does: 'print the public key', example: 'rekey evidence key > evidence.key' },
    async () => (await import('./commands/evidence-key.ts')).evidenceKey,
  )
}
