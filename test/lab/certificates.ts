/**
 * Certificates made on the spot, as no tool makes them everywhere: with the wrong name, expired, signed by themselves. X.509 version 3
 * (RFC 5280) with ECDSA on P-256 (RFC 5758), written out in DER by hand: Node can read certificates and not make them.
 */
import { generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto'
import { isIPv4 } from 'node:net'
import type { LabCertificate, LabSubject } from '../../src/connectors/contract.kit.lab.ts'
import { systemClock } from '../../src/kernel/index.ts'

/** A new certificate authority with a key of its own; all have one name. */
export function makeAuthority(): { readonly ca: string; issue(subject: LabSubject): LabCertificate } {
  const keys = newKeys()
  const ca = certificate(
    { of: AUTHORITY, by: AUTHORITY, key: keys.publicKey, days: [-2, 3650], extensions: [IS_AUTHORITY] },
    keys.privateKey,
  )
  return {
    ca,
    issue(subject) {
      const { publicKey, privateKey } = newKeys()
      return { cert: certificate(leaf(subject, AUTHORITY, publicKey), keys.privateKey), key: pemKey(privateKey) }
    },
  }
}

/** A server's certificate that nobody but itself vouches for. */
export function selfSigned(subject: LabSubject): LabCertificate {
  const { publicKey, privateKey } = newKeys()
  return { cert: certificate(leaf(subject, SERVER, publicKey), privateKey), key: pemKey(privateKey) }
}

const AUTHORITY = 'Test authority'
const SERVER = 'server'
const DAY_MS = 86_400_000

interface Content {
  readonly of: string
  readonly by: string
  readonly key: KeyObject
  readonly days: readonly [number, number]
  readonly extensions: readonly Buffer[]
}

function leaf({ hosts, days = [-1, 30] }: LabSubject, by: string, key: KeyObject): Content {
  return { of: SERVER, by, key, days, extensions: [alternativeNames(hosts)] }
}

function newKeys(): { publicKey: KeyObject; privateKey: KeyObject } {
  return generateKeyPairSync('ec', { namedCurve: 'P-256' })
}

function pemKey(key: KeyObject): string {
  return String(key.export({ type: 'pkcs8', format: 'pem' }))
}

const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bits: 0x03,
  octets: 0x04,
  oid: 0x06,
  utf8: 0x0c,
  time: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const

function der(tag: number, ...parts: readonly Buffer[]): Buffer {
  const body = Buffer.concat(parts)
  const length = body.length < 0x80 ? [body.length] : [0x82, body.length >> 8, body.length & 0xff]
  return Buffer.concat([Buffer.from([tag, ...length]), body])
}

const sequence = (...parts: readonly Buffer[]) => der(TAG.sequence, ...parts)
const oid = (hex: string) => der(TAG.oid, Buffer.from(hex, 'hex'))

/** 1.2.840.10045.4.3.2, ecdsa-with-SHA256. */
const ALGORITHM = sequence(oid('2a8648ce3d040302'))
const TRUE = der(TAG.boolean, Buffer.from([0xff]))
/** 2.5.29.19, basicConstraints: critical, cA. */
const IS_AUTHORITY = sequence(oid('551d13'), TRUE, der(TAG.octets, sequence(TRUE)))

/** 2.5.4.3, commonName. */
const named = (name: string) => sequence(der(TAG.set, sequence(oid('550403'), der(TAG.utf8, Buffer.from(name)))))

/** 2.5.29.17, subjectAltName: [2] dNSName, [7] iPAddress. */
function alternativeNames(hosts: readonly string[]): Buffer {
  const names = hosts.map((host) => (isIPv4(host) ? der(0x87, Buffer.from(host.split('.').map(Number))) : der(0x82, Buffer.from(host))))
  return sequence(oid('551d11'), der(TAG.octets, sequence(...names)))
}

function time(days: number): Buffer {
  const at = new Date(systemClock.now().getTime() + days * DAY_MS)
  return der(TAG.time, Buffer.from(`${at.toISOString().replace(/\.\d+|[-:T]/g, '')}`))
}

function certificate({ of, by, key, days, extensions }: Content, signer: KeyObject): string {
  // The first bit of a serial number is that of a positive one.
  const serial = der(TAG.integer, Buffer.concat([Buffer.from([0x01]), randomBytes(12)]))
  const content = sequence(
    der(0xa0, der(TAG.integer, Buffer.from([2]))),
    serial,
    ALGORITHM,
    named(by),
    sequence(time(days[0]), time(days[1])),
    named(of),
    key.export({ type: 'spki', format: 'der' }),
    der(0xa3, sequence(...extensions)),
  )
  const signature = der(TAG.bits, Buffer.from([0]), sign('sha256', content, signer))
  const lines = sequence(content, ALGORITHM, signature).toString('base64').replace(/.{64}/g, '$&\n').trimEnd()
  return `-----BEGIN CERTIFICATE-----\n${lines}\n-----END CERTIFICATE-----\n`
}
