import type { Finding } from '../../evidence/index.ts'
import { counted, isCode, messageOf, printable } from '../../kernel/index.ts'
import type { Opened } from '../../main.ts'
import type { Cli, CommonOptions } from '../cli.ts'
import { EXIT } from '../exit.ts'

/**
 * Recomputes the stored evidence, compares the tables with it, and names what does not agree. Opens the database itself: no server is
 * needed, one may run. Nothing is written: the database is opened for reading only.
 */
export async function fsck(cli: Cli, { data }: CommonOptions): Promise<number> {
  const [main, evidence, credential, identity] = await Promise.all([
    import('../../main.ts'),
    import('../../evidence/index.ts'),
    import('../../credential/index.ts'),
    import('../../identity/index.ts'),
  ])
  const opened = await main.openOffline({ data })
  try {
    const published = await evidence.publishedKey(opened.store)
    const remark = (where: string, what: string) => cli.out.note(`note: ${where}: ${what}`)
    // The tables are compared also where nothing is published: a log that was emptied must not pass for a new one.
    const ofLogs = await part('evidence', () => logFindings(cli, opened, published))
    const findings = [
      ...ofLogs,
      ...(await part('keys and tokens', () => main.keyFindings(opened))),
      ...(await part('credentials', () => credential.fsckCredentials(opened.store, remark, main.keyringOf(opened.config)))),
      ...(await part('identities', () => identity.fsckIdentities(opened.store))),
      ...(await part('rights and ways in', () => identity.fsckRights(opened.store, remark))),
    ]
    if (cli.out.json) for (const each of [...findings, { sound: findings.length === 0, findings: findings.length }]) cli.out.object(each)
    else for (const { where, what } of findings) cli.out.line(`${printable(where)}: ${printable(what)}`)
    cli.out.note(findings.length > 0 ? `${counted(findings.length, 'finding')}.` : published === null ? NEW : SOUND)
    return findings.length === 0 ? EXIT.ok : EXIT.failed
  } finally {
    await opened.close()
  }
}

/** A part that a value of a row brings to an end is a finding too, so that the others are told; a database that is gone is none. */
async function part(name: string, look: () => Promise<readonly Finding[]>): Promise<readonly Finding[]> {
  try {
    return await look()
  } catch (error) {
    if (isCode(error, 'unavailable')) throw error
    return [{ where: name, what: `A row holds what nobody can compare; nothing more was compared here: ${messageOf(error)}` }]
  }
}

const NEW = 'Nothing is published yet, and the tables hold nothing that the evidence would have to know.'
const SOUND = 'The evidence is sound, and the tables agree with it.'

/** `published`: the key that the database names, or null. */
async function logFindings({ out }: Cli, opened: Opened, published: string | null): Promise<Finding[]> {
  const [main, evidence] = await Promise.all([import('../../main.ts'), import('../../evidence/index.ts')])
  let believed = ''
  const own = await main.ownEvidenceKey(opened).catch((error: unknown) => {
    if (isCode(error, 'sealed_damaged')) return null
    if (!isCode(error, 'kek_unavailable')) throw error
    believed = `${error.message} So the key that the database names is believed; compare it with one that you kept.`
    return published
  })
  if (published !== null && believed !== '') out.note(believed)
  const key = own ?? published
  if (key === null) return (await evidence.logFigures(opened.store)).some(({ checkpoint }) => checkpoint !== null) ? [NO_KEY] : []
  const findings = await evidence.fsck(opened.store, opened.ctx, key)
  if (own === null) return [{ where: 'signing key', what: 'The seed of this installation is missing or does not open.' }, ...findings]
  return [...findings]
}

const NO_KEY: Finding = { where: 'signing key', what: 'There are signed checkpoints, and no key is at hand or named to check them with.' }
