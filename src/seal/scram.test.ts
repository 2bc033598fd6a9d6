import fc from 'fast-check'
import { expect, test } from 'vitest'
import { isCode, Secret } from '../kernel/index.ts'
import { md5Answer, newScramKey, ScramLogin, scramKey, scramSha256Verifier, scramVerifierOf } from './index.ts'

// RFC 7677, section 3.
const PENCIL = Secret.fromText('pencil')
const SALT = Buffer.from('W22ZaJ0SNY7soEsUEjb6gQ==', 'base64')
const CHALLENGE = 'r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096'
const ANSWER = 'c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ='
const LAST = 'v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4='
const rfcLogin = () => new ScramLogin('user', 'rOprNGfwEbeRWgbNEkqO')

test('the login of RFC 7677 is made word for word', async () => {
  const login = rfcLogin()
  expect(login.first).toBe('n,,n=user,r=rOprNGfwEbeRWgbNEkqO')
  expect(login.confirms(LAST)).toBe(false)
  expect(await login.answer(CHALLENGE, PENCIL)).toBe(ANSWER)
  expect(login.confirms(LAST)).toBe(true)
  expect(login.confirms(LAST.replace('6', '7'))).toBe(false)
  for (const told of ['', 'v=', 'v=AAAA', 'e=other-error', `${LAST},x=1`]) expect(login.confirms(told)).toBe(false)
})

test('a key that is known gives the same answer, and one of another salt or count is not used', async () => {
  const known = await scramKey(PENCIL, SALT)
  expect(await rfcLogin().answer(CHALLENGE, PENCIL, known)).toBe(ANSWER)
  // The value is another, the key is right: only the key can have given the answer.
  expect(await rfcLogin().answer(CHALLENGE, Secret.fromText('other'), known)).toBe(ANSWER)
  for (const other of [await scramKey(PENCIL), await scramKey(PENCIL, SALT, 5000)])
    expect(await rfcLogin().answer(CHALLENGE, PENCIL, other)).toBe(ANSWER)
})

test('what is no challenge to this login is not answered', async () => {
  const refused = [
    '',
    CHALLENGE.replace('r=rOpr', 'r=xOpr'),
    'r=rOprNGfwEbeRWgbNEkqO,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096',
    CHALLENGE.replace('4096', '0'),
    CHALLENGE.replace('4096', '100001'),
    CHALLENGE.replace('4096', '-1'),
    `${CHALLENGE},m=x`,
    CHALLENGE.replace('s=W22Z', 's=*'),
  ]
  for (const challenge of refused) expect(await rfcLogin().answer(challenge, PENCIL)).toBeNull()
  await fc.assert(
    fc.asyncProperty(fc.string(), async (text) => {
      expect(await rfcLogin().answer(text, PENCIL)).toBeNull()
    }),
  )
})

test('nonces are never the same', () => {
  const made = Array.from({ length: 100 }, () => new ScramLogin().first)
  expect(new Set(made).size).toBe(100)
  for (const first of made) expect(first).toMatch(/^n,,n=\*,r=[A-Za-z0-9+/]{24}$/)
})

test('values that are the same after SASLprep have the same key; RFC 4013 gives the examples', async () => {
  const key = async (text: string) => scramVerifierOf(await scramKey(Secret.fromText(text), SALT, 1))
  for (const [text, same] of [
    ['I\u00adX', 'IX'],
    ['\u00aa', 'a'],
    ['\u2168', 'IX'],
    ['a\u00a0b', 'a b'],
  ] as const)
    expect(await key(text)).toBe(await key(same))
  expect(await key('USER')).not.toBe(await key('user'))
})

test('the verifier of a value about to be installed has a new salt, and only printable ASCII gets one', async () => {
  expect(scramVerifierOf(await newScramKey(PENCIL))).not.toBe(await scramSha256Verifier(PENCIL))
  for (const text of ['na\u00efve', 'a\nb', '\u007f'])
    await expect(newScramKey(Secret.fromText(text))).rejects.toSatisfy((error) => isCode(error, 'bad_input'))
  await expect(scramKey(new Secret(Uint8Array.of(0xff)), SALT)).rejects.toSatisfy((error) => isCode(error, 'bad_input'))
})

test('the older challenge is answered by the formula of the PostgreSQL manual', () => {
  // concat('md5', md5(concat(md5(concat(password, username)), random-salt))); made with md5sum.
  expect(md5Answer(PENCIL, 'user', Buffer.from('abcd'))).toBe('md5d621238dc9a10c6c869b264c13379ee7')
})
