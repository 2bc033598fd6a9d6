import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { checkName, infoValue, readClients, readUser } from './acl.ts'

test('names with white space, NUL or nothing are refused, others are not', () => {
  for (const name of ['', ' ', 'a b', 'a\tb', 'a\0', '\ud800', 'x'.repeat(513)]) {
    expect(() => checkName(name), JSON.stringify(name)).toThrow(expect.objectContaining({ code: 'bad_input' }))
  }
  for (const name of ['svc', 'default', '>x', '#y', '"q"', 'é🔑', '%s']) expect(() => checkName(name)).not.toThrow()
})

describe('CLIENT LIST', () => {
  test('is read field by field, whatever the fields are', () => {
    const word = fc.string({ unit: fc.constantFrom('a', '=', ':', '"', 'é', 'user', 'id', '\u00a0', '\u3000', '\ufeff'), maxLength: 8 })
    fc.assert(
      fc.property(fc.array(fc.record({ id: fc.nat(), user: word, name: word, address: word })), (rows) => {
        const line = (row: (typeof rows)[number]) =>
          `id=${row.id} addr=${row.address} fd=8 name=${row.name} age=0 flags=N user=${row.user} redir=-1`
        expect(readClients(`${rows.map(line).join('\n')}\n`)).toEqual(rows)
      }),
    )
  })

  test('never throws and never invents a number', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        for (const row of readClients(text)) expect(Number.isSafeInteger(row.id)).toBe(true)
      }),
    )
  })
})

describe('ACL GETUSER', () => {
  test('Redis 7 and 6', () => {
    expect(
      readUser([
        'flags',
        ['on'],
        'passwords',
        ['ab'],
        'commands',
        '-@all +get',
        'keys',
        '~*',
        'channels',
        '',
        'selectors',
        [['commands', '+set', 'keys', '~x', 'channels', '']],
      ]),
    ).toEqual({
      flags: ['on'],
      hashes: ['ab'],
      rights: ['commands -@all +get', 'keys ~*', 'selector (commands +set; keys ~x)'],
    })
    expect(readUser(['flags', ['off'], 'passwords', [], 'commands', '-@all', 'keys', ['a', 'b']])?.rights).toEqual([
      'commands -@all',
      'keys a b',
    ])
    expect(readUser(null)).toBeNull()
  })

  test.each([['text'], [[]], [['flags']], [['flags', 'on', 'passwords', []]], [['flags', ['on'], 'passwords', [1]]]])(
    '%j is not guessed at',
    (reply) => expect(() => readUser(reply)).toThrow(expect.objectContaining({ code: 'target_conflict' })),
  )
})

test('INFO', () => {
  expect(infoValue('# Server\r\nrun_id:abc\r\nconfig_file:/a:b\r\n', 'config_file')).toBe('/a:b')
  expect(infoValue('run_id_more:abc\r\n', 'run_id')).toBe('')
})
