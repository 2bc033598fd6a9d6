import { type Command, Option } from 'commander'
import { type Add, type Group, seconds } from './program.parts.ts'

const collect = (value: string, before: readonly string[] = []) => [...before, value]
const ID = '01890000-0000-7000-8000-000000000000'

/** Commands of approvals, their rules, and where notices go. */
export function addApprovals(program: Command, add: Add, group: Group): void {
  const approval = group(program, 'approval', 'what others must say yes to first')
  addReading(approval, add)
  addDeciding(approval, add)
  addRules(group(approval, 'rule', 'which actions must be approved, and by whom'), add)
  const notify = group(program, 'notify', 'how approvers are told')
  addChannels(group(notify, 'channel', 'webhooks and mail servers'), add)
  const deliveries = { does: 'list notices, newest first', example: 'rekey notify deliveries --state failed' }
  add(notify, 'deliveries', deliveries, async () => (await import('./commands/notify.ts')).notifyDeliveries).addOption(
    new Option('--state <state>', 'only in this state').choices(['waiting', 'sent', 'failed', 'dropped']),
  )
}

function addReading(approval: Command, add: Add): void {
  const list = {
    does: 'list the requests that you asked for or were asked about, newest first',
    example: 'rekey approval list --of decide',
  }
  add(approval, 'list', list, async () => (await import('./commands/approval.ts')).approvalList).addOption(
    new Option('--of <which>', 'decide: those that wait for you; all: what you may read').choices(['mine', 'decide', 'requested', 'all']),
  )
  const show = { does: 'show exactly what is approved, who may and who did', example: `rekey approval show ${ID}` }
  add(approval, 'show <approval>', show, async () => (await import('./commands/approval.ts')).approvalShow)
}

function addDeciding(approval: Command, add: Add): void {
  const verbs = {
    approve: 'show what is asked for, ask, and approve it',
    reject: 'reject a request, which ends it',
    bypass: 'let a request through without the approvals; everybody who was skipped is told',
  } as const
  for (const verb of ['approve', 'reject', 'bypass'] as const) {
    const texts = { does: verbs[verb], example: `rekey approval ${verb} ${ID} --reason "seen the ticket"` }
    add(approval, `${verb} <approval>`, texts, async () => (await import('./commands/approval.ts')).approvalDecide(verb))
      .requiredOption('--reason <text>', 'why, for the evidence')
      .option('--digest <digest>', 'of what you have read: it is not shown, and you are not asked')
  }
  const own = { withdraw: 'take your own request back', 'take-back': 'take your own approval back' } as const
  for (const verb of ['withdraw', 'take-back'] as const) {
    const texts = { does: own[verb], example: `rekey approval ${verb} ${ID} --reason "not needed any more"` }
    add(approval, `${verb} <approval>`, texts, async () => (await import('./commands/approval.ts')).approvalTakeBack(verb)).requiredOption(
      '--reason <text>',
      'why, for the evidence',
    )
  }
}

function addRules(rule: Command, add: Add): void {
  const list = { does: 'list the actions that must be approved', example: 'rekey approval rule list' }
  add(rule, 'list', list, async () => (await import('./commands/approval-rule.ts')).ruleList)
  const set = {
    does: 'say who must approve an action: all factors, by distinct people',
    example: 'rekey approval rule set identity:offboard --factor security:2 --factor managers:1:3:passkey --reason "two pairs of eyes"',
  }
  add(rule, 'set <action>', set, async () => (await import('./commands/approval-rule.ts')).ruleSet)
    .requiredOption(
      '--factor <team:count:aal:passkey>',
      'a team by id or name, how many of it, and optionally the level (2) and passkey',
      collect,
    )
    .option('--expires <time>', 'how long a request is open: 30m, 12h, 7d (1d)', seconds)
    .requiredOption('--reason <text>', 'why, for the evidence')
  const remove = {
    does: 'let an action need no approval any more',
    example: 'rekey approval rule remove role:bind --reason "too small a team"',
  }
  add(rule, 'remove <action>', remove, async () => (await import('./commands/approval-rule.ts')).ruleRemove).requiredOption(
    '--reason <text>',
    'why, for the evidence',
  )
}

function addChannels(channel: Command, add: Add): void {
  const list = { does: 'list the channels', example: 'rekey notify channel list' }
  add(channel, 'list', list, async () => (await import('./commands/notify.ts')).channelList)
  const adding = {
    does: 'add a webhook or a mail server',
    example:
      'rekey notify channel add chat --webhook https://hooks.example.com/rekey --secret-file hook.key --link https://rekey.example.com',
  }
  add(channel, 'add <name>', adding, async () => (await import('./commands/notify.ts')).channelAdd)
    .option('--webhook <url>', 'send signed JSON here; --secret-file has the key')
    .option('--smtp <host:port>', 'send mail through this server')
    .addOption(new Option('--tls <how>', 'of the mail server (implicit)').choices(['implicit', 'starttls', 'none']))
    .option('--from <address>', 'of the mail: who sends it')
    .option('--user <name>', 'to log in to the mail server with; --secret-file has the password')
    .option('--secret-file <file>', 'the file with the key or password; - for standard input')
    .option('--ca-file <file>', 'certificates to trust instead of the usual ones, PEM')
    .requiredOption('--link <url>', 'where people find the console: notices link to it')
  const test = { does: 'send a test through a channel, now', example: 'rekey notify channel test chat' }
  add(channel, 'test <name>', test, async () => (await import('./commands/notify.ts')).channelTest)
  const remove = { does: 'remove a channel and destroy its secret', example: 'rekey notify channel remove chat' }
  add(channel, 'remove <name>', remove, async () => (await import('./commands/notify.ts')).channelRemove)
  const confirm = {
    does: 'answer for a channel in place of who made it and has left',
    example: 'rekey notify channel confirm chat --reason "ticket 42: the receiver has a new key"',
  }
  add(channel, 'confirm <name>', confirm, async () => (await import('./commands/notify.ts')).channelConfirm).requiredOption(
    '--reason <text>',
    'why, for the evidence',
  )
}
