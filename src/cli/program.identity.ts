import { type Command, Option } from 'commander'
import { type Add, collect, type Group, wholeNumber } from './program.parts.ts'

const KINDS = ['human', 'workload', 'machine', 'agent']
const STATUSES = ['active', 'suspended', 'offboarded']
const CLASSES = ['human', 'workload', 'machine_to_machine', 'emergency']

/** Commands of the record: identities and teams. */
export function addRecord(program: Command, add: Add, group: Group): void {
  addIdentities(group(program, 'identity', 'who or what uses credentials'), add)
  addTeams(group(program, 'team', 'teams and groups: who answers for what'), add)
  addPersons(group(program, 'person', 'which identities are of one person'), add)
  addMovers(group(program, 'mover', 'what movers leave behind'), add)
}

function addIdentities(identity: Command, add: Add): void {
  const list = { does: 'list the identities', example: 'rekey identity list --status suspended --label site=paris' }
  add(identity, 'list', list, async () => (await import('./commands/identity-list.ts')).identityList)
    .addOption(new Option('--kind <kind>', 'only of this kind').choices(KINDS))
    .addOption(new Option('--status <status>', 'only in this status').choices(STATUSES))
    .option('--owner <owner>', 'only what this person or team answers for, by id or name')
    .option('--team <team>', 'only members of this team, nested teams included, by id or name')
    .option('--environment <environment>', 'only of this environment')
    .option('--source <source>', 'only from this source, such as declared or api')
    .option('--label <key=value>', 'only with this label')
    .option('--prefix <text>', 'only names that begin so')
    .option('--limit <number>', 'at most so many', wholeNumber)
  const show = { does: 'show one identity, by id or name', example: 'rekey identity show orders-api' }
  add(identity, 'show <identity>', show, async () => (await import('./commands/identity-show.ts')).identityShow)
  const join = {
    does: 'add an identity: a joiner',
    example: 'rekey identity join orders-api --kind workload --owner team:orders --purpose "serves orders" --environment prod',
  }
  withFields(add(identity, 'join <name>', join, async () => (await import('./commands/identity-change.ts')).identityJoin))
    .addOption(new Option('--kind <kind>', 'what it is').choices(KINDS).makeOptionMandatory())
    .option('--reason <text>', 'why its recovery class is not the derived one')
  const move = {
    does: 'change what the record says: a mover',
    example: 'rekey identity move orders-api --owner team:billing --reason "new team"',
  }
  withFields(add(identity, 'move <identity>', move, async () => (await import('./commands/identity-change.ts')).identityMove))
    .option('--name <name>', 'its new name')
    .option('--reason <text>', 'why, for the evidence')
  addStatus(identity, add)
}

function withFields(command: Command): Command {
  return command
    .option('--owner <owner>', 'who answers for it: person: or team: with a name or id, or either alone')
    .option('--purpose <text>', 'what it is for')
    .option('--environment <name>', 'where it works')
    .option('--tenancy <name>', 'to which tenancy it belongs')
    .option('--manager <person>', "a person's manager, by id or name; - for none")
    .option('--ial <level:source>', "how well a person's identity was proven (NIST SP 800-63A), and by whom: 2:hr-desk; - for unknown")
    .option('--ial-at <time>', 'when that was: a day or a time; now unless given')
    .option('--label <key=value>', 'a label; may be repeated, and replaces those that there were; - for none', collect)
    .option(
      '--entitlement <system:account:role>',
      'what it may be on a system; may be repeated, and replaces those that there were; - for none',
      collect,
    )
    .addOption(new Option('--recovery-class <class>', 'instead of the derived one, with --reason').choices(CLASSES))
}

function addStatus(identity: Command, add: Add): void {
  const verbs = {
    suspend: 'stop an identity for now; can be taken back',
    resume: 'take a suspension back',
    offboard: 'end an identity for good; what a person owned is handed over',
  } as const
  for (const verb of ['suspend', 'resume', 'offboard'] as const) {
    const texts = { does: verbs[verb], example: `rekey identity ${verb} ada --reason "contract ended"` }
    const command = add(identity, `${verb} <identity>`, texts, async () =>
      (await import('./commands/identity-change.ts')).identityStatus(verb),
    )
      .option('--reason <text>', 'why, for the evidence')
      .option('--wait', 'wait until its credentials have come to their end, and print each')
    if (verb === 'resume') continue
    command
      .option('--plan', 'only show what would become of each credential')
      .option('--force', 'also if nobody could change policy any more')
  }
}

function addTeams(team: Command, add: Add): void {
  const list = { does: 'list the teams', example: 'rekey team list --source scim:okta' }
  add(team, 'list', list, async () => (await import('./commands/team.ts')).teamList)
    .option('--name <name>', 'only those called so')
    .option('--source <source>', 'only from this source')
  const show = { does: 'show one team and its members, by id or name', example: 'rekey team show security-contact' }
  add(team, 'show <team>', show, async () => (await import('./commands/team.ts')).teamShow)
  const create = { does: 'make a team by hand', example: 'rekey team create orders' }
  add(team, 'create <name>', create, async () => (await import('./commands/team.ts')).teamCreate).option(
    '--tenancy <name>',
    'to which tenancy it belongs',
  )
  const rename = { does: 'give a team that is kept by hand another name', example: 'rekey team rename orders shop-orders' }
  add(team, 'rename <team> <name>', rename, async () => (await import('./commands/team.ts')).teamRename)
  const remove = {
    does: 'remove a team that owns nothing, approves nothing and holds no role',
    example: 'rekey team remove orders --reason "merged into billing"',
  }
  add(team, 'remove <team>', remove, async () => (await import('./commands/team.ts')).teamRemove).requiredOption(
    '--reason <text>',
    'why, for the evidence',
  )
  const change = {
    does: 'add and take out members of a team that is kept by hand',
    example: 'rekey team change security-contact --add ada',
  }
  add(team, 'change <team>', change, async () => (await import('./commands/team.ts')).teamChange)
    .option('--add <identity>', 'who becomes a member, by id or name, or team:NAME to nest a team in it; may be repeated', collect)
    .option('--remove <identity>', 'who, or which team:NAME, is none any more; may be repeated', collect)
    .option('--reason <text>', 'of a team that holds roles: why, for the evidence')
    .option('--force', 'although somebody then holds directory rights and credential rights')
}

function addMovers(mover: Command, add: Add): void {
  const list = { does: 'list entitlements that went, with the credentials to narrow or rotate', example: 'rekey mover list' }
  add(mover, 'list', list, async () => (await import('./commands/mover.ts')).moverList)
  const settle = { does: 'say that one of them is done', example: 'rekey mover settle 12 --reason "role taken away in the database"' }
  add(mover, 'settle <id>', settle, async () => (await import('./commands/mover.ts')).moverSettle).requiredOption(
    '--reason <text>',
    'what was done, for the evidence',
  )
}

function addPersons(person: Command, add: Add): void {
  const list = { does: 'list the other identities of a person', example: 'rekey person list ada' }
  add(person, 'list <identity>', list, async () => (await import('./commands/person.ts')).personList)
  const same = {
    does: 'say that two identities are of one person, who then counts once in approvals',
    example: 'rekey person same ada ada-admin --reason "her second account"',
  }
  add(person, 'same <identity> <other>', same, async () => (await import('./commands/person.ts')).personSay(true))
    .requiredOption('--reason <text>', 'why, for the evidence')
    .option('--force', 'although the person then holds directory rights and credential rights')
  const other = {
    does: 'say that two identities are of different people, although they share an address',
    example: 'rekey person other ada bob --reason "a mailbox of the team"',
  }
  add(person, 'other <identity> <other>', other, async () => (await import('./commands/person.ts')).personSay(false)).requiredOption(
    '--reason <text>',
    'why, for the evidence',
  )
}
