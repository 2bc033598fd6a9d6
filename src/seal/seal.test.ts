import { type Argon2Parameters, argon2Sync, Decipheriv } from 'node:crypto'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { isCode, Secret } from '../kernel/index.ts'
import {
  fingerprint,
  generatePassword,
  keyFromPassphrase,
  mysqlNativeHash,
  newKey,
  newPassphraseCost,
  open,
  possessionProof,
  randomSecret,
  scramSha256Verifier,
  seal,
  sha256Hex,
} from './index.ts'

const plain = fc.uint8Array({ minLength: 1, maxLength: 300 }).map((bytes) => new Secret(bytes))
const bound = fc.string({ maxLength: 40 })
const damaged = (error: unknown) => isCode(error, 'sealed_damaged')

function refuses(act: () => unknown): void {
  let caught: unknown
  try {
    act()
  } catch (error) {
    caught = error
  }
  expect(caught).toSatisfy(damaged)
}

test('what was sealed opens again, with the same key and the same binding only', () => {
  const [key, other] = [newKey(), newKey()]
  fc.assert(
    fc.property(plain, bound, bound, (secret, row, elsewhere) => {
      const sealed = seal(key, secret, row)
      expect(open(key, sealed, row).equals(secret)).toBe(true)
      refuses(() => open(other, sealed, row))
      if (elsewhere !== row) refuses(() => open(key, sealed, elsewhere))
    }),
  )
})

test('every single flipped bit and every cut is noticed', () => {
  const key = newKey()
  const sealed = seal(key, Secret.fromText('value'), 'row')
  for (let bit = 0; bit < sealed.length * 8; bit++) {
    const broken = Uint8Array.from(sealed)
    broken[bit >> 3] = (broken[bit >> 3] ?? 0) ^ (1 << (bit & 7))
    refuses(() => open(key, broken, 'row'))
  }
  for (let length = 0; length < sealed.length; length++) refuses(() => open(key, sealed.subarray(0, length), 'row'))
})

test('no plain bytes stay behind in buffers of the cipher', () => {
  const key = newKey()
  const secret = Secret.fromText('a value that would be seen')
  const left: Buffer[] = []
  const { update } = Decipheriv.prototype
  Decipheriv.prototype.update = function (this: Decipheriv, ...args: unknown[]) {
    const bytes = Reflect.apply(update, this, args)
    left.push(bytes)
    return bytes
  } as typeof update
  try {
    expect(open(key, seal(key, secret, 'r'), 'r').equals(secret)).toBe(true)
    refuses(() => open(key, Uint8Array.from(seal(key, secret, 'r')).fill(0, -1), 'r'))
  } finally {
    Decipheriv.prototype.update = update
  }
  expect(left.map((bytes) => bytes.length)).toEqual([26, 26])
  for (const bytes of left) expect(bytes.every((byte) => byte === 0)).toBe(true)
})

test('the same value sealed twice looks different, and never holds the value', () => {
  const key = newKey()
  const secret = Secret.fromText('a value that would be seen')
  const [one, two] = [seal(key, secret, 'r'), seal(key, secret, 'r')]
  expect(Buffer.compare(one, two)).not.toBe(0)
  expect(Buffer.from(one).includes('a value')).toBe(false)
})

test('AES-256-GCM as in the GCM specification, test case 15: our format opens an outside ciphertext', () => {
  // McGrew and Viega, "The Galois/Counter Mode of Operation (GCM)", appendix B.
  const key = new Secret(Buffer.from('feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308', 'hex'))
  const nonce = 'cafebabefacedbaddecaf888'
  const text =
    'd9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255'
  const body =
    '522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662898015ad'
  const tag = 'b094dac5d93471bdec1a502270e3cc6c'
  const opened = open(key, Buffer.from(`01${nonce}${body}${tag}`, 'hex'), '')
  expect(opened.reveal((bytes) => Buffer.from(bytes).toString('hex'))).toBe(text)
})

test('generated passwords are long, varied and need no quoting anywhere', () => {
  const seen = new Set<string>()
  for (let i = 0; i < 2_000; i++) {
    const text = generatePassword().revealText((value) => value)
    expect(text).toMatch(/^[A-Za-z][A-Za-z0-9_-]{39}$/)
    expect(/[A-Z]/.test(text) && /[a-z]/.test(text) && /[0-9]/.test(text) && /[-_]/.test(text)).toBe(true)
    seen.add(text)
  }
  expect(seen.size).toBe(2_000)
})

test('SCRAM-SHA-256 verifier: the one of RFC 7677 section 3', async () => {
  const verifier = await scramSha256Verifier(Secret.fromText('pencil'), Buffer.from('W22ZaJ0SNY7soEsUEjb6gQ==', 'base64'))
  expect(verifier).toBe(
    'SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=',
  )
  await expect(scramSha256Verifier(Secret.fromText('naïve'))).rejects.toSatisfy((error) => isCode(error, 'bad_input'))
})

test('hashes that systems store', () => {
  expect(mysqlNativeHash(Secret.fromText('password'))).toBe('*2470C0C06DEE42FD1618BB99005ADCA2EC9D1E19')
  expect(sha256Hex(Secret.fromText('abc'))).toBe('ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad')
})

test('fingerprints find equal values, differ by installation, and possession needs the secret', () => {
  const [key, other] = [newKey(), newKey()]
  const [a, b] = [Secret.fromText('a'), Secret.fromText('b')]
  expect(fingerprint(key, a)).toBe(fingerprint(key, Secret.fromText('a')))
  expect(new Set([fingerprint(key, a), fingerprint(key, b), fingerprint(other, a)]).size).toBe(3)
  const nonce = randomSecret(32).reveal((bytes) => Uint8Array.from(bytes))
  expect(possessionProof(a, nonce)).toEqual(possessionProof(Secret.fromText('a'), nonce))
  expect(possessionProof(a, nonce)).not.toEqual(possessionProof(b, nonce))
})

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')

test('argon2id: the vector of RFC 9106 section 5.3, and our parameters go where theirs do', async () => {
  const theirs: Argon2Parameters = {
    message: Buffer.alloc(32, 1),
    nonce: Buffer.alloc(16, 2),
    secret: Buffer.alloc(8, 3),
    associatedData: Buffer.alloc(12, 4),
    memory: 32,
    passes: 3,
    parallelism: 4,
    tagLength: 32,
  }
  expect(hex(argon2Sync('argon2id', theirs))).toBe('0d640df58d78766c08c037a34a8b53c9d01ef0452d75b65eb52520e96b01e659')
  // Ours has neither secret nor associated data; all else of the vector is put in as a passphrase and its cost.
  const { secret: _secret, associatedData: _data, ...plain } = theirs
  const cost = { salt: Buffer.alloc(16, 2).toString('base64'), memoryKiB: 32, passes: 3, lanes: 4 }
  const ours = await keyFromPassphrase(new Secret(Buffer.alloc(32, 1)), cost)
  expect(ours.reveal(hex)).toBe(hex(argon2Sync('argon2id', plain)))
})

test('a passphrase gives the same key for the same salt only', async () => {
  const cost = { ...newPassphraseCost(), memoryKiB: 256, passes: 1, lanes: 1 }
  const one = await keyFromPassphrase(Secret.fromText('correct horse'), cost)
  expect(one.equals(await keyFromPassphrase(Secret.fromText('correct horse'), cost))).toBe(true)
  expect(one.equals(await keyFromPassphrase(Secret.fromText('correct horsf'), cost))).toBe(false)
  expect(one.equals(await keyFromPassphrase(Secret.fromText('correct horse'), { ...cost, salt: newPassphraseCost().salt }))).toBe(false)
  expect(newPassphraseCost().salt).not.toBe(newPassphraseCost().salt)
})
