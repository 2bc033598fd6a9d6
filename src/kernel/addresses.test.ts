import { expect, test } from 'vitest'
import { AddressGuard } from './addresses.ts'
import { isCode } from './errors.ts'

const refused = (error: unknown) => isCode(error, 'target_unsupported')

test('an address is refused however it is written', async () => {
  const guard = new AddressGuard(['127.0.0.0/8', '::1/128'])
  const spellings = [
    '127.0.0.1',
    '127.1',
    '127.0.1',
    '2130706433',
    '0x7f000001',
    '0177.0.0.1',
    'localhost',
    '::ffff:127.0.0.1',
    '::1',
    '127.9.9.9',
  ]
  for (const host of spellings) await expect(guard.check(host), host).rejects.toSatisfy(refused)
  await expect(guard.check('128.0.0.1')).resolves.toBeUndefined()
})

test('by default loopback and private networks are allowed, metadata services and what stands for anywhere are not', async () => {
  const guard = new AddressGuard()
  for (const host of ['127.0.0.1', '127.1', '10.1.2.3', '192.168.1.1', '::1', '/run/postgresql']) {
    await expect(guard.check(host), host).resolves.toBeUndefined()
  }
  for (const host of ['169.254.169.254', '0.0.0.0', '0', '::', 'fe80::1', '224.0.0.1', '::ffff:169.254.169.254', '0xa9fea9fe']) {
    await expect(guard.check(host), host).rejects.toSatisfy(refused)
  }
})

test('a name that does not resolve is unreachable, not allowed', async () => {
  await expect(new AddressGuard().check('no-such-host.invalid')).rejects.toSatisfy((error) => isCode(error, 'target_unreachable'))
})

test('what is not a network is refused at the start', () => {
  for (const network of ['', '10.0.0.0', '10.0.0.0/33', '10.0.0/8', 'host/8', '::/129', '1.2.3.4/x']) {
    expect(() => new AddressGuard([network]), network).toThrow('Not a network')
  }
})
