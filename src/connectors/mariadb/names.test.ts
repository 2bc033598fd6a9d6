import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { mariadb } from './index.ts'
import { formatAccount, mayMatchHost, parseAccount, quoteAccount, quoteName, quoteText } from './names.ts'
import { grantText, identified, nativeWay, readWays, withoutWay, withWay } from './ways.ts'

/** Text with many of the characters that quoting is about. */
const nasty = fc.string({
  unit: fc.constantFrom('`', "'", '"', '\\', '@', ' ', 'a', 'é', '%', ' OR ', ' TO ', ' IDENTIFIED VIA '),
  maxLength: 12,
})
const user = nasty.filter((text) => text !== '' && !text.endsWith(' '))
const host = fc.constantFrom('%', 'localhost', '10.%', '10.0.0.0/255.0.0.0', '::1')
const way = fc.record({ plugin: fc.constantFrom('mysql_native_password', 'ed25519', 'unix_socket', 'pam'), text: nasty })

describe('account names', () => {
  test('what is formatted reads back', () => {
    fc.assert(
      fc.property(user, host, (u, h) => {
        expect(parseAccount(formatAccount({ user: u, host: h }))).toEqual({ user: u, host: h })
      }),
    )
  })

  test('an account has one spelling: what is compared as text is compared as an account', () => {
    for (const [name, right] of [
      ['svc@%', 'svc'],
      ['svc@LOCALHOST', 'svc@localhost'],
      ['a@b@DB.example', 'a@b@db.example'],
    ] as const) {
      expect(() => mariadb.checkAccount(name)).toThrow(expect.objectContaining({ code: 'bad_input', message: `Write it as ${right}.` }))
      mariadb.checkAccount(right)
    }
    const spelling = fc.tuple(user, fc.constantFrom('', '@%', '@localhost', '@LocalHost', '@10.%')).map((parts) => parts.join(''))
    const accepted = (name: string) => {
      try {
        mariadb.checkAccount(name)
        return true
      } catch {
        return false
      }
    }
    fc.assert(
      fc.property(spelling, spelling, (a, b) => {
        fc.pre(accepted(a) && accepted(b))
        expect(quoteAccount(parseAccount(a)) === quoteAccount(parseAccount(b))).toBe(a === b)
      }),
    )
  })

  test.each([
    ['svc', 'svc', '%'],
    ['svc@10.%', 'svc', '10.%'],
    ['a@b@Host', 'a@b', 'host'],
  ])('%s', (name, u, h) => expect(parseAccount(name)).toEqual({ user: u, host: h }))

  test('unquoting gives the name back, and nothing escapes the quotes', () => {
    fc.assert(
      fc.property(nasty, (text) => {
        const name = quoteName(text)
        expect(name.slice(1, -1).replaceAll('``', '')).not.toContain('`')
        expect(name.slice(1, -1).replaceAll('``', '`')).toBe(text)
        expect(quoteText(text).slice(1, -1).replaceAll("''", '')).not.toContain("'")
      }),
    )
  })
})

test.each([
  ['%', '10.0.0.7', true],
  ['10.%', '10.0.0.7', true],
  ['10.%', '110.0.0.7', false],
  ['10.0.0._', '10.0.0.77', false],
  ['127.0.0.1', 'localhost', true],
  ['10.0.0.0/255.0.0.0', 'db', true],
  ['*.example', 'a.example', false],
  // The server matched the address, and shows the name.
  ['127.%', 'app1.internal:35695', true],
  ['10.0.0.7', 'app1.internal:35695', true],
  ['fe80::%', 'app1.internal', true],
  ['192.168.0._', 'app1.internal:1', true],
  ['app2.internal', 'app1.internal:35695', false],
  ['app1.internal', 'app1.internal:35695', true],
  ['10.%', '192.168.0.7:3306', false],
  ['10.%', '10.0.0.7:3306', true],
  ['fe80::1', 'fe80::1:4711', true],
  ['fe80::2', 'fe80::1:4711', false],
  ['::1', 'localhost:4711', true],
  ['10.%', 'localhost', false],
  // Cut: the whole name is longer.
  [
    'db.of-a-very-long-name-indeed.and-of-a-long-domain-too.example.com',
    'db.of-a-very-long-name-indeed.and-of-a-long-domain-too.example.c',
    true,
  ],
])('host %s may match %s: %s', (pattern, client, fits) => expect(mayMatchHost(pattern, client)).toBe(fits))

describe('ways to log in', () => {
  test('one, several, and none named', () => {
    expect(readWays('{"plugin":"ed25519","authentication_string":"x"}')).toEqual([{ plugin: 'ed25519', text: 'x' }])
    expect(readWays('{"access":0}')).toEqual([{ plugin: 'mysql_native_password', text: '' }])
    expect(
      readWays(
        '{"plugin":"mysql_native_password","authentication_string":"*A",' +
          '"auth_or":[{"plugin":"unix_socket","authentication_string":""},{}]}',
      ),
    ).toEqual([
      { plugin: 'unix_socket', text: '' },
      { plugin: 'mysql_native_password', text: '*A' },
    ])
  })

  test.each(['', 'null', '[]', '{"plugin":1}', '{"plugin":"a","auth_or":{}}', '{"plugin":"a","auth_or":[1]}'])(
    '%s is not guessed at',
    (priv) => expect(() => readWays(priv)).toThrow(expect.objectContaining({ code: 'target_conflict' })),
  )

  test('adding twice is adding once; taking away leaves the others; none is refused', () => {
    fc.assert(
      fc.property(fc.array(way), (ways) => {
        const added = nativeWay(`*${'A'.repeat(40)}`)
        const once = withWay(ways, added)
        expect(withWay(once, added)).toEqual(once)
        expect(withoutWay(once, added)).toEqual(withoutWay(ways, added))
      }),
    )
    expect(() => identified([])).toThrow(expect.objectContaining({ code: 'target_conflict' }))
  })

  test('a grant is the same whatever the account is named and however it logs in', () => {
    fc.assert(
      fc.property(user, host, fc.array(way, { minLength: 1 }), nasty, (u, h, ways, schema) => {
        const quoted = quoteAccount({ user: u, host: h })
        const right = `GRANT SELECT ON ${quoteName(schema)}.* TO `
        expect(grantText(`${right}${quoted} ${identified(ways)} REQUIRE SSL`, quoted)).toBe(`${right}@ REQUIRE SSL`)
        expect(grantText(`${right}${quoted} IDENTIFIED BY PASSWORD '*ABC' WITH GRANT OPTION`, quoted)).toBe(`${right}@ WITH GRANT OPTION`)
      }),
    )
  })
})
