import { expect, test } from 'vitest'
import { type Bench, expectCode, freshSecret, type InBench, makeMove, outcome, retire } from './contract.kit.bench.ts'
import type { LabCertificate, LabCertificates } from './contract.kit.lab.ts'
import type { Address } from './contract.ts'

const HERE = '127.0.0.1'
const KINDS = ['good', 'of another host', 'of a name', 'expired', 'not yet valid', 'self-signed'] as const
type Kind = (typeof KINDS)[number]
type Authority = 'its authority' | 'another authority' | 'itself'

interface Case {
  readonly certificate: Kind
  readonly tls: Address['tls']
  /** What `caFile` holds; none: it is left out. */
  readonly ca?: Authority
  /** Other than 127.0.0.1. */
  readonly host?: string
  readonly trusted: boolean
}

/** What each word must mean; `tlsOptions` says whence. */
const CASES: readonly Case[] = [
  { certificate: 'good', tls: 'require', trusted: true },
  { certificate: 'good', tls: 'require', ca: 'its authority', trusted: true },
  { certificate: 'good', tls: 'require', ca: 'its authority', host: 'localhost', trusted: true },
  { certificate: 'good', tls: 'require', ca: 'another authority', trusted: false },
  { certificate: 'good', tls: 'verify-full', ca: 'its authority', trusted: true },
  { certificate: 'good', tls: 'verify-full', ca: 'its authority', host: 'localhost', trusted: false },
  { certificate: 'good', tls: 'verify-full', ca: 'another authority', trusted: false },
  { certificate: 'good', tls: 'verify-full', trusted: false },
  { certificate: 'of another host', tls: 'require', ca: 'its authority', trusted: true },
  { certificate: 'of another host', tls: 'verify-full', ca: 'its authority', trusted: false },
  { certificate: 'of a name', tls: 'verify-full', ca: 'its authority', host: 'localhost', trusted: true },
  { certificate: 'of a name', tls: 'verify-full', ca: 'its authority', trusted: false },
  { certificate: 'expired', tls: 'require', trusted: true },
  { certificate: 'expired', tls: 'require', ca: 'its authority', trusted: false },
  { certificate: 'expired', tls: 'verify-full', ca: 'its authority', trusted: false },
  { certificate: 'not yet valid', tls: 'require', ca: 'its authority', trusted: false },
  { certificate: 'not yet valid', tls: 'verify-full', ca: 'its authority', trusted: false },
  { certificate: 'self-signed', tls: 'require', trusted: true },
  { certificate: 'self-signed', tls: 'require', ca: 'its authority', trusted: false },
  { certificate: 'self-signed', tls: 'verify-full', ca: 'its authority', trusted: false },
  { certificate: 'self-signed', tls: 'verify-full', trusted: false },
  { certificate: 'self-signed', tls: 'verify-full', ca: 'itself', trusted: true },
]

const title = ({ tls, ca, host }: Case) => `${tls}${ca ? ` with ${ca}` : ''}${host ? ` to ${host}` : ''}`

interface World {
  readonly certificates: Readonly<Record<Kind, LabCertificate>>
  readonly authorities: Readonly<Record<Authority, string>>
}

function makeWorld({ makeAuthority, selfSigned }: LabCertificates): World {
  const [own, other] = [makeAuthority(), makeAuthority()]
  const certificates = {
    good: own.issue({ hosts: [HERE] }),
    'of another host': own.issue({ hosts: ['elsewhere.test', '127.0.0.2'] }),
    'of a name': own.issue({ hosts: ['localhost'] }),
    expired: own.issue({ hosts: [HERE], days: [-10, -1] }),
    'not yet valid': own.issue({ hosts: [HERE], days: [1, 10] }),
    'self-signed': selfSigned({ hosts: [HERE] }),
  }
  return {
    certificates,
    authorities: { 'its authority': own.ca, 'another authority': other.ca, itself: certificates['self-signed'].cert },
  }
}

/** Whom the connector speaks to under each word of `address.tls`. */
export function describeTls(bench: InBench): void {
  test.each(KINDS)('a certificate that is %s is trusted where libpq would trust it', (certificate) =>
    bench(async (b) => {
      const { certificates, authorities } = makeWorld(b.lab.certificates)
      const secret = freshSecret()
      const login = { account: await b.account(secret), secret }
      const served = await b.lab.serveTls(certificates[certificate])
      for (const one of CASES.filter((each) => each.certificate === certificate)) {
        const ca = one.ca === undefined ? {} : { ca: authorities[one.ca] }
        await expectTrust(b, { ...served, host: one.host ?? HERE, tls: one.tls, ...ca }, login, one)
      }
    })(),
  )

  test(
    'a whole move over verify-full',
    bench(async (b) => {
      const [strategy = 'in-place'] = b.lab.connector.describe().strategies
      const { certificates, authorities } = makeWorld(b.lab.certificates)
      const served = await b.lab.serveTls(certificates.good)
      const target = b.open({ address: { ...served, tls: 'verify-full', ca: authorities['its authority'] } })
      const move = await makeMove(b, strategy)
      await target.install(b.ctx, move.order)
      expect(await outcome(b, target, move.next)).toBe('accepted')
      await retire(b, target, move)
      expect(await outcome(b, target, move.next)).toBe('accepted')
      expect(await outcome(b, target, move.old)).toBe('refused')
      expect(await target.endSessions(b.ctx, move.old.account)).toBe(0)
    }),
  )
}

async function expectTrust(b: Bench, address: Address, login: { account: string; secret: ReturnType<typeof freshSecret> }, one: Case) {
  const target = b.open({ address })
  const probe = await target.probe(b.ctx, login.account, login.secret)
  if (one.trusted) {
    expect(probe.outcome, `${title(one)}: ${probe.code}`).toBe('accepted')
    return void (await target.discover(b.ctx))
  }
  expect(probe.outcome, `${title(one)}: ${probe.code}`).toBe('unreachable')
  const error = await expectCode(target.discover(b.ctx), 'target_unreachable', [login.secret, b.lab.root.secret])
  expect([error.detail, error.message], title(one)).toEqual([probe.code, expect.stringContaining('is not trusted')])
}
