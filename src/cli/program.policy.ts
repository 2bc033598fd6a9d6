import { type Command, InvalidArgumentError, Option } from 'commander'
import type { Add, Group } from './program.parts.ts'

const KINDS = ['person', 'workload', 'machine', 'agent', 'token']

const collect = (value: string, before: readonly string[] = []) => [...before, value]

/** Commands of rights: policies and roles. */
export function addPolicy(program: Command, add: Add, group: Group): void {
  addPolicies(group(program, 'policy', 'who may do what'), add)
  addRoles(group(program, 'role', 'roles that policies ask for, and who holds them'), add)
}

function addPolicies(policy: Command, add: Add): void {
  const list = { does: 'list the sets of policies, newest first', example: 'rekey policy list' }
  add(policy, 'list', list, async () => (await import('./commands/policy.ts')).policyList)
  const show = { does: 'show the policies in force, or one set by its id', example: 'rekey policy show --schema' }
  add(policy, 'show [policies]', show, async () => (await import('./commands/policy.ts')).policyShow).option(
    '--schema',
    'what policies can speak of, instead',
  )
  const test = {
    does: 'run expected decisions; with --policies or --default no server is needed',
    example: 'rekey policy test cases.yaml --policies ./policies',
  }
  add(policy, 'test <file>', test, async () => (await import('./commands/policy-test.ts')).policyTest)
    .addOption(new Option('--policies <folder>', 'against this folder, laid over the default policies').conflicts('default'))
    .option('--default', 'against the default policies')
  addExplain(policy, add)
  const diff = { does: 'show what a folder of policies would change', example: 'rekey policy diff ./policies' }
  add(policy, 'diff <folder>', diff, async () => (await import('./commands/policy.ts')).policyDiff)
  const propose = {
    does: 'propose a folder of policies; they count when they are approved',
    example: 'rekey policy propose ./policies --reason "night shift may rotate"',
  }
  add(policy, 'propose <folder>', propose, async () => (await import('./commands/policy.ts')).policyPropose)
    .requiredOption('--reason <text>', 'why, for whoever approves and for the evidence')
    .option('--force', 'although somebody then holds directory rights and credential rights')
  const approve = {
    does: 'show proposed policies, ask, approve them and bring them into force',
    example: 'rekey policy approve 01890000-0000-7000-8000-000000000000',
  }
  add(policy, 'approve <policies>', approve, async () => (await import('./commands/policy.ts')).policyApprove)
    .option('--digest <digest>', 'of what you have read: it is not shown, and you are not asked')
    .option('--reason <text>', 'why, for the evidence; asked for where somebody can be')
  const bypass = {
    does: 'bring proposed policies into force without approval',
    example: 'rekey policy bypass 01890000-0000-7000-8000-000000000000 --reason "nobody else is here yet"',
  }
  add(policy, 'bypass <policies>', bypass, async () => (await import('./commands/policy.ts')).policyBypass)
    .requiredOption('--reason <text>', 'why, at least 10 characters')
    .option('--yes', 'do not ask')
}

function addExplain(policy: Command, add: Add): void {
  const explain = {
    does: 'say what would be decided, and by which policy',
    example: 'rekey policy explain rotation:start --identity ada --aal 2 --on credential --environment prod',
  }
  add(policy, 'explain <action>', explain, async () => (await import('./commands/policy-explain.ts')).policyExplain)
    .option('--identity <name>', 'for this identity, with its roles and teams; by id or name')
    .option('--token <name>', 'for this token, with its roles; by id or name')
    .addOption(new Option('--kind <kind>', 'for somebody of this kind (person)').choices(KINDS))
    .option('--role <role>', 'with this role as well; may be repeated', collect)
    .option('--aal <level>', 'of the login: 0 to 3 (0)', upTo(3))
    .option('--minutes-since-login <minutes>', 'how old the login is', upTo(1_000_000))
    .option('--on <type>', 'done to a thing of this type, such as credential, identity or system')
    .option('--id <id>', 'of that thing')
    .option('--environment <name>', 'of that thing')
    .option('--owner <id>', 'of that thing')
    .option('--system <name>', 'of that thing')
}

function addRoles(role: Command, add: Add): void {
  const list = { does: 'list the roles that policies give something to', example: 'rekey role list' }
  add(role, 'list', list, async () => (await import('./commands/role.ts')).roleList)
  const bindings = { does: 'list who holds which role', example: 'rekey role bindings' }
  add(role, 'bindings', bindings, async () => (await import('./commands/role.ts')).roleBindings)
  const bind = {
    does: 'give a role to an identity, a team or a token',
    example: 'rekey role bind operator --to identity:ada --reason "runs the night shift"',
  }
  add(role, 'bind <role>', bind, async () => (await import('./commands/role.ts')).roleBind)
    .requiredOption('--to <holder>', 'identity:NAME, team:ID or token:NAME')
    .requiredOption('--reason <text>', 'why, for the evidence')
    .option('--force', 'although it then holds directory rights and credential rights')
  const unbind = {
    does: 'take a role away',
    example: 'rekey role unbind 01890000-0000-7000-8000-000000000000 --reason "left the night shift"',
  }
  add(role, 'unbind <binding>', unbind, async () => (await import('./commands/role.ts')).roleUnbind)
    .requiredOption('--reason <text>', 'why, for the evidence')
    .option('--force', 'although somebody then holds directory rights and credential rights without a role meant for both')
}

const upTo = (most: number) => (text: string) => {
  if (!/^\d{1,7}$/.test(text) || Number(text) > most) throw new InvalidArgumentError(`Write a whole number, 0 to ${most}.`)
  return Number(text)
}
