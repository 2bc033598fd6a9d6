/** Run by a test with connector, call and port: one call to a server that floods, what came of it, and the memory that it took. */
import { connectorFor } from '../../src/connectors/registry.ts'
import { isCode, makeCtx, RekeyError, Secret } from '../../src/kernel/index.ts'

const [, , connector = '', call = '', port = ''] = process.argv
const address = { host: '127.0.0.1', port: Number(port), tls: 'off' } as const
const value = Secret.fromText('a value')
const ctx = makeCtx('test', 'flood')
const target = connectorFor(connector).open({
  name: 'x',
  address,
  rootAccount: 'root',
  rootSecrets: [value],
  timeoutMs: 10_000,
  concurrent: 1,
})
const account = connector === 'mariadb' ? 'svc@%' : 'svc'
// The library and its first use are no part of the flood.
await import(connector === 'postgres' ? 'pg' : connector === 'mariadb' ? 'mysql2' : 'redis')
const before = process.memoryUsage.rss()
const told =
  call === 'probe'
    ? await target.probe(ctx, account, value).then(({ outcome, code }) => `${outcome} ${code}`)
    : await target.discover(ctx).then(
        () => 'accepted',
        (error: unknown) => (error instanceof RekeyError ? `${error.code} ${error.detail}` : `thrown ${isCode(error, 'internal')}`),
      )
await target.close()
const grownMib = (process.resourceUsage().maxRSS * 1024 - before) / 1024 / 1024
process.stdout.write(JSON.stringify({ told, grownMib: Math.round(grownMib) }))
