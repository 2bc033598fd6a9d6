import { isCode, printable } from '../../kernel/index.ts'
import type { Cli, CommonOptions } from '../cli.ts'
import { EXIT } from '../exit.ts'

/**
 * Recomputes the stored evidence, compares the tables with it, and names what does not agree. Opens the database itself: no server is
 * needed, one may run.
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
    if (published === null) {
      cli.out.note('Nothing is published yet: there is nothing to check.')
      return EXIT.ok
    }
    const own = await main.ownEvidenceKey(opened).catch((error: unknown) => {
      if (!isCode(error, 'kek_unavailable')) throw error
      cli.out.note(`${error.message} So the key that the database names is believed; compare it with one that you kept.`)
      return published
    })
    const findings = [
      ...(await evidence.fsck(opened.store, opened.ctx, own)),
      ...(await credential.fsckCredentials(opened.store)),
      ...(await identity.fsckIdentities(opened.store)),
    ]
    if (own !== published)
      findings.unshift({ where: 'signing key', what: 'The database names another key than this installation signs with.' })
    if (cli.out.json) for (const finding of findings) cli.out.object(finding)
    else for (const { where, what } of findings) cli.out.line(`${printable(where)}: ${printable(what)}`)
    cli.out.note(findings.length === 0 ? 'The evidence is sound, and the tables agree with it.' : `${findings.length} findings.`)
    return findings.length === 0 ? EXIT.ok : EXIT.failed
  } finally {
    await opened.close()
  }
}
