/** What a CI job has: `jobs.ts NAME…` writes `keys.json`, the keys of its issuer, and a signed token to `NAME.jwt` for each name. */
import { writeFileSync } from 'node:fs'
import { SignJWT } from 'jose'
import { labKey } from '../lab/issuer.ts'

const key = await labKey()
writeFileSync('keys.json', JSON.stringify({ keys: [key.publicJwk] }))
const at = Math.floor(Date.now() / 1000)
for (const name of process.argv.slice(2)) {
  const claims = {
    iss: 'https://ci.example',
    sub: 'repo:acme/shop',
    aud: 'https://rekey.example',
    repository: 'acme/shop',
    environment: 'test',
  }
  const token = await new SignJWT({ ...claims, iat: at, exp: at + 200, jti: crypto.randomUUID() })
    .setProtectedHeader({ alg: key.alg, kid: key.kid, typ: 'JWT' })
    .sign(key.privateKey)
  writeFileSync(`${name}.jwt`, `${token}\n`, { mode: 0o600 })
}
