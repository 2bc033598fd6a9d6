import { type Command, Option } from 'commander'
import { type Add, type Group, seconds, wholeNumber } from './program.parts.ts'

const ID = '01890000-0000-7000-8000-000000000000'
const LIMIT = ['--limit <number>', 'at most so many', wholeNumber] as const
const ALL = ['--all', 'also those that have ended'] as const

const collect = (value: string, before: readonly string[] = []) => [...before, value]

/** Commands of closures and of the standing questions: what is usable, what is found, exceptions and reviews. */
export function addClosure(program: Command, add: Add, group: Group): void {
  addClosures(group(program, 'closure', 'what becomes of the credentials of who is suspended or left'), add)
  const usable = { does: 'list every version that could authenticate right now', example: 'rekey usable --system orders-db --probe' }
  add(program, 'usable', usable, async () => (await import('./commands/standing.ts')).usable)
    .option('--identity <identity>', 'only those of this identity, by id or name')
    .option('--system <system>', 'only those on this system')
    .addOption(new Option('--state <state>', 'only in this state').choices(['staged', 'current', 'previous', 'irrevocable', 'unprovable']))
    .option('--older-than <days>', 'only older than so many days', wholeNumber)
    .option('--probe', 'log in with each of them first')
    .option(...LIMIT)
  const findings = { does: 'list what somebody should do something about', example: 'rekey findings --severity high' }
  add(program, 'findings', findings, async () => (await import('./commands/standing.ts')).findings)
    .option('--kind <kind>', 'only of this kind')
    .addOption(new Option('--severity <severity>', 'only so bad').choices(['high', 'medium', 'low']))
    .option(...LIMIT)
  addExceptions(group(program, 'exception', 'what is not as it should be, and until when'), add)
  addReviews(group(program, 'review', 'looks at shared, vendor, static and break-glass credentials'), add)
}

function addClosures(closure: Command, add: Add): void {
  const list = { does: 'list closures, newest first', example: 'rekey closure list --waiting' }
  add(closure, 'list', list, async () => (await import('./commands/closure.ts')).closureList)
    .option('--open', 'only those that have not ended, who is suspended among them')
    .option('--waiting', 'only those in which something waits for a human')
    .option(...LIMIT)
  const show = { does: 'show a closure and every credential in it', example: `rekey closure show ${ID}` }
  add(closure, 'show <closure>', show, async () => (await import('./commands/closure.ts')).closureShow)
  const retry = { does: 'let what waits for a human go on', example: `rekey closure retry ${ID}` }
  add(closure, 'retry <closure>', retry, async () => (await import('./commands/closure.ts')).closureRetry).option(
    '--credential <credential>',
    'only this one',
  )
  const resolve = {
    does: "decide about one credential, by a human's word",
    example: `rekey closure resolve ${ID} crm-key --irrevocable --reason "vendor has no revocation"`,
  }
  add(closure, 'resolve <closure> <credential>', resolve, async () => (await import('./commands/closure.ts')).closureResolve)
    .option('--irrevocable', 'nobody can revoke it: it ends so, and stays a finding')
    .option('--leaked', 'its value is out: it is not given back by a resume')
    .requiredOption('--reason <text>', 'why, for the evidence')
}

function addExceptions(exception: Command, add: Add): void {
  const list = { does: 'list the exceptions on record', example: 'rekey exception list' }
  add(exception, 'list', list, async () => (await import('./commands/standing.ts')).exceptionList)
    .option(...ALL)
    .option(...LIMIT)
  const adding = {
    does: 'declare an exception for a credential',
    example:
      'rekey exception add crm --kind vendor-managed --owner team:sales --reason "theirs to set" --waits-for OAuth --ends 2027-06-30',
  }
  add(exception, 'add <credential>', adding, async () => (await import('./commands/standing.ts')).exceptionAdd)
    .addOption(new Option('--kind <kind>', 'what it is').choices(['shared-account', 'vendor-managed', 'static-key']).makeOptionMandatory())
    .requiredOption('--owner <owner>', 'who answers for it: person: or team: with a name or id, or either alone')
    .option('--user <identity>', 'who shares it, by id or name; may be repeated', collect)
    .requiredOption('--reason <text>', 'why it is so')
    .requiredOption('--waits-for <text>', 'the migration that will end it')
    .requiredOption('--ends <day>', 'the last day, 2027-06-30')
    .option('--review-every <time>', 'how often somebody must look: 12h, 7d (30d; static keys 90d)', seconds)
    .addOption(new Option('--on-missed <what>', 'if nobody looks in time').choices(['escalate', 'suspend']))
  const close = { does: 'end an exception', example: `rekey exception close ${ID} --reason "moved to OAuth"` }
  add(exception, 'close <exception>', close, async () => (await import('./commands/standing.ts')).exceptionClose).requiredOption(
    '--reason <text>',
    'why, for the evidence',
  )
}

function addReviews(review: Command, add: Add): void {
  const list = { does: 'list the reviews that are open', example: 'rekey review list' }
  add(review, 'list', list, async () => (await import('./commands/standing.ts')).reviewList)
    .option(...ALL)
    .option(...LIMIT)
  const done = {
    does: 'say that a review is done: keep the credential, or end it',
    example: `rekey review done ${ID} --outcome keep --note "still used by two teams"`,
  }
  add(review, 'done <review>', done, async () => (await import('./commands/standing.ts')).reviewDone)
    .addOption(new Option('--outcome <outcome>', 'what becomes of it').choices(['keep', 'end']).makeOptionMandatory())
    .requiredOption('--note <text>', 'what was seen')
}
