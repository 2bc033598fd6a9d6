import { expect, test } from 'vitest'
import { tlsOptions, untrusted } from './tls.ts'

const at = { host: 'h', port: 1 }

test.each([
  ['off', undefined, null],
  ['off', 'ca', null],
  ['require', undefined, [false, true]],
  ['require', 'ca', [true, true]],
  ['verify-full', undefined, [true, false]],
  ['verify-full', 'ca', [true, false]],
] as const)('tls: %s with authority %s', (tls, ca, wanted) => {
  const options = tlsOptions({ ...at, tls, ...(ca === undefined ? {} : { ca }) })
  expect(options && [options.rejectUnauthorized, options.checkServerIdentity !== undefined]).toEqual(wanted)
  expect(options?.ca).toBe(wanted === null ? undefined : ca)
})

test.each([
  'CERT_HAS_EXPIRED',
  'CERT_NOT_YET_VALID',
  'CERT_REVOKED',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'ERROR_IN_CERT_NOT_AFTER_FIELD',
  'ERR_TLS_CERT_ALTNAME_INVALID',
])('%s is a certificate that is not trusted', (code) => {
  expect(untrusted('X', code)).toMatchObject({ code: 'target_unreachable', detail: code })
})

test.each(['ECONNREFUSED', 'ECONNRESET', 'ETIMEDOUT', 'HANDSHAKE_SSL_ERROR', 'ERR_SSL_WRONG_VERSION_NUMBER', 'connection', 'EPROTO', ''])(
  '%j is no word about a certificate',
  (code) => {
    expect(untrusted('X', code)).toBeNull()
  },
)
