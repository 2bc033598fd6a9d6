import { readFileSync } from 'node:fs'
import type pg from 'pg'
import { RekeyError } from '../kernel/index.ts'

/**
 * Client settings from a `postgres://` URL. TLS as libpq means it: `sslmode=disable | prefer | require | verify-ca | verify-full`,
 * `sslrootcert` a PEM file; `require` encrypts without checking the name, `verify-full` checks it. The default is `prefer` on a
 * Unix socket or loopback and `verify-full` elsewhere, since a database of secrets is not reached unverified by accident.
 * Throws `config_invalid` for anything else; the message never repeats the URL, which may hold a password.
 */
export function connectionFromUrl(url: string): pg.ClientConfig {
  let parsed: URL
  try {
    parsed = new URL(url)
  } catch {
    throw new RekeyError('config_invalid', 'DATABASE_URL is not a URL.', { hint: 'Write postgres://user:password@host:5432/database.' })
  }
  if (parsed.protocol !== 'postgres:' && parsed.protocol !== 'postgresql:') {
    throw new RekeyError('config_invalid', 'DATABASE_URL must begin with postgres://.')
  }
  const query = parsed.searchParams
  const host = query.get('host') ?? decodeURIComponent(parsed.hostname)
  const near = host === '' || host.startsWith('/') || host === 'localhost' || host === '[::1]' || host.startsWith('127.')
  const ssl = tlsOf(query.get('sslmode') ?? (near ? 'disable' : 'verify-full'), query.get('sslrootcert'))
  return {
    host: host === '' ? 'localhost' : host.replace(/^\[|\]$/g, ''),
    port: Number(parsed.port || query.get('port') || 5432),
    database: decodeURIComponent(parsed.pathname.slice(1)) || 'postgres',
    ...(parsed.username ? { user: decodeURIComponent(parsed.username) } : {}),
    ...(parsed.password ? { password: decodeURIComponent(parsed.password) } : {}),
    ssl,
  }
}

function tlsOf(mode: string, rootFile: string | null): pg.ClientConfig['ssl'] {
  const ca = rootFile === null ? {} : { ca: readRoot(rootFile) }
  if (mode === 'disable' || mode === 'allow' || mode === 'prefer') return false
  if (mode === 'require' && rootFile === null) return { rejectUnauthorized: false }
  if (mode === 'require' || mode === 'verify-ca') return { ...ca, checkServerIdentity: () => undefined }
  if (mode === 'verify-full') return { ...ca }
  throw new RekeyError('config_invalid', `DATABASE_URL has an unknown sslmode, "${mode.slice(0, 40)}".`, {
    hint: 'Use disable, require, verify-ca or verify-full.',
  })
}

function readRoot(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    throw new RekeyError('config_invalid', `The sslrootcert file cannot be read: ${file}`)
  }
}
