import { isIPv6 } from 'node:net'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { AddressGuard, carriedIpv4 } from './addresses.ts'
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

test('metadata services are refused wherever they answer, and through every IPv6 address that leads to one', async () => {
  const guard = new AddressGuard()
  const spellings = [
    'fd00:ec2::254',
    '100.100.100.200',
    '192.0.0.192',
    '64:ff9b::a9fe:a9fe',
    '64:ff9b::169.254.169.254',
    '2002:a9fe:a9fe::',
    '2002:a9fe:a9fe:1::1',
    '::169.254.169.254',
    '::a9fe:a9fe',
    '::ffff:a9fe:a9fe',
  ]
  for (const host of spellings) await expect(guard.check(host), host).rejects.toSatisfy(refused)
  for (const host of ['64:ff9b::10.0.0.1', '2002:0a00:0001::1', '2001:db8::a9fe:a9fe', '::1', 'fd00:ec2::253']) {
    await expect(guard.check(host), host).resolves.toBeUndefined()
  }
})

test('the IPv4 address inside is found in every spelling of its carrier', () => {
  const byte = fc.integer({ min: 0, max: 255 })
  fc.assert(
    fc.property(fc.tuple(byte, byte, byte, byte), fc.boolean(), (four, dotted) => {
      fc.pre(four[0] + four[1] + four[2] > 0)
      const inside = four.join('.')
      const hex = four.map((each) => each.toString(16).padStart(2, '0')).join('')
      const groups = `${hex.slice(0, 4)}:${hex.slice(4)}`
      const end = dotted ? inside : groups
      for (const carrier of [
        `::${end}`,
        `::ffff:${end}`,
        `64:ff9b::${end}`,
        `64:FF9B:0:0:0:0:${end}`,
        `2002:${groups}::7`,
        `::${end}%lo`,
      ]) {
        expect(isIPv6(carrier), carrier).toBe(true)
        expect(carriedIpv4(carrier), carrier).toBe(inside)
      }
      expect(carriedIpv4(`2001:db8::${end}`)).toBeNull()
    }),
  )
})

test('a name that does not resolve is unreachable, not allowed', async () => {
  await expect(new AddressGuard().check('no-such-host.invalid')).rejects.toSatisfy((error) => isCode(error, 'target_unreachable'))
})

test('what is not a network is refused at the start', () => {
  for (const network of ['', '10.0.0.0', '10.0.0.0/33', '10.0.0/8', 'host/8', '::/129', '1.2.3.4/x']) {
    expect(() => new AddressGuard([network]), network).toThrow('Not a network')
  }
})
