import { describe, expect, test } from 'vitest'
import vector from '../../test/vectors/evidence-note.json' with { type: 'json' }
import { Secret } from '../kernel/index.ts'
import { type Checkpoint, openCheckpoint, originOf, signCheckpoint } from './checkpoint.ts'
import { formatVerifierKey, newSigningSeed, openNote, parseVerifierKey, signerFromSeed, signNote, strictBase64 } from './note.ts'

const signer = signerFromSeed('rekey.example', new Secret(Buffer.from(vector.seed, 'hex')))
const bad = (code: string) => expect.objectContaining({ code })

/** The key id that a signature line carries. */
const keyIdOf = (line: string) => Buffer.from(line.split(' ')[2] ?? '', 'base64').subarray(0, 4)

describe('a signed note (C2SP signed-note, Ed25519)', () => {
  test('is byte for byte the one that Go’s sumdb/note makes from the same seed', () => {
    expect(signNote(vector.text, signer)).toBe(vector.note)
    expect(formatVerifierKey(signer)).toBe(vector.verifierKey)
  })

  test('opens with the key in text, and passes over other people’s signatures, counting them', () => {
    const key = parseVerifierKey(`  ${vector.verifierKey}\n`)
    expect(openNote(vector.note, key)).toEqual({ text: vector.text, others: 0 })
    expect(openNote(vector.noteOfTwo, key)).toEqual({ text: vector.text, others: 1 })
  })

  test('does not open with another key, nor with another key of the same name', () => {
    const other = signerFromSeed('rekey.example', newSigningSeed())
    expect(() => openNote(vector.note, other)).toThrow(bad('evidence_damaged'))
    expect(() => openNote(vector.note, { ...signer, name: 'other.example' })).toThrow(bad('evidence_damaged'))
  })

  test('does not open with any one bit flipped', () => {
    const bytes = Buffer.from(vector.note)
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const damaged = Buffer.from(bytes)
      damaged[bit >> 3] = (damaged[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      expect(() => openNote(damaged.toString(), signer), `bit ${bit}`).toThrow(bad('evidence_damaged'))
    }
  })

  const [line = ''] = vector.note.split('\n\n').slice(1)
  test.each([
    ['nothing', ''],
    ['no signature', vector.text],
    ['no empty line', `${vector.text}${line}`],
    ['no newline at the end', vector.note.slice(0, -1)],
    ['a carriage return', vector.note.replace('\n', '\r\n')],
    ['a tab in the text', vector.note.replace('21', '2\t1')],
    ['an empty signature line', `${vector.note}\n`],
    ['a line of another kind', `${vector.note}x\n`],
    ['a hyphen for the dash', vector.note.replace('—', '-')],
    ['too many signatures', vector.note + line.repeat(20)],
    ['too much text', `${'x'.repeat(100_001)}\n${vector.note}`],
    ['a short signature', `${vector.text}\n— rekey.example ${Buffer.concat([keyIdOf(line), Buffer.alloc(5)]).toString('base64')}\n`],
    ['a name with a plus', vector.note.replace('— rekey', '— re+key')],
  ])('is refused with %s', (_, note) => {
    expect(() => openNote(note, signer)).toThrow(bad('evidence_damaged'))
  })

  test.each(['no newline', 'bell\u0007\n', 'half \ud800\n', 'cr\r\n'])('is never made of %j', (text) => {
    expect(() => signNote(text, signer)).toThrow(bad('bad_input'))
  })
})

describe('a key', () => {
  test.each([
    '',
    'rekey.example',
    vector.verifierKey.replace('rekey', 'other'),
    vector.verifierKey.slice(0, -4),
    `${vector.verifierKey}AAAA`,
    vector.verifierKey.replace(/\+[0-9a-f]{8}\+/, '+00000000+'),
    vector.verifierKey.replace('+A', '+B'),
  ])('is refused as %j', (text) => {
    expect(() => parseVerifierKey(text)).toThrow(bad('bad_input'))
  })

  test.each(['', 'two words', 'a+b', 'line\nbreak'])('cannot be named %j', (name) => {
    expect(() => signerFromSeed(name, newSigningSeed())).toThrow(bad('bad_input'))
  })

  test('cannot be made from a seed of another length', () => {
    expect(() => signerFromSeed('x', Secret.fromText('short'))).toThrow(bad('bad_input'))
  })

  test('seeds are 32 bytes and never the same', () => {
    const [one, two] = [newSigningSeed(), newSigningSeed()]
    expect(one.reveal((bytes) => bytes.length)).toBe(32)
    expect(one.equals(two)).toBe(false)
  })
})

test('base64 with spare bits, without padding or with white space is not strict', () => {
  expect(strictBase64('AA==')).toEqual(Buffer.from([0]))
  for (const text of ['AB==', 'AA', 'AA= =', 'A', 'AA==\n', '_w==']) expect(strictBase64(text)).toBeNull()
})

describe('a checkpoint (C2SP tlog-checkpoint)', () => {
  const checkpoint: Checkpoint = {
    origin: originOf('rekey.example', 'credential'),
    size: 21,
    root: Buffer.from('38+yO4g+4x/xCVd2H8+rA3Krsf2PQlab9ZDo4D4RaHo=', 'base64'),
    at: '2026-01-02T03:04:05.678Z',
  }

  test('is the one of the vector, and reads back', () => {
    expect(signCheckpoint(checkpoint, signer)).toBe(vector.note)
    expect(openCheckpoint(vector.note, signer, 'credential')).toEqual(checkpoint)
  })

  test('is not that of the other log, and carries no signatures that we cannot check', () => {
    expect(() => openCheckpoint(vector.note, signer, 'identity')).toThrow(bad('evidence_damaged'))
    expect(() => openCheckpoint(vector.noteOfTwo, signer, 'credential')).toThrow(bad('evidence_damaged'))
  })

  const lines = vector.text.slice(0, -1).split('\n')
  test.each([
    ['a leading zero', 1, '021'],
    ['a sign', 1, '+21'],
    ['a size past 2^53', 1, '9007199254740993'],
    ['a short root', 2, 'AAAA'],
    ['a root with spare bits', 2, '38+yO4g+4x/xCVd2H8+rA3Krsf2PQlab9ZDo4D4RaHp='],
    ['another extension', 3, 'at yesterday'],
  ])('is refused with %s, though signed', (_, i, value) => {
    const text = lines.map((line, n) => (n === i ? value : line)).join('\n')
    expect(() => openCheckpoint(signNote(`${text}\n`, signer), signer, 'credential')).toThrow(bad('evidence_damaged'))
  })

  test('is refused with a line more or less, though signed', () => {
    expect(() => openCheckpoint(signNote(`${vector.text}more\n`, signer), signer, 'credential')).toThrow(bad('evidence_damaged'))
    expect(() => openCheckpoint(signNote(`${lines.slice(0, 3).join('\n')}\n`, signer), signer, 'credential')).toThrow(
      bad('evidence_damaged'),
    )
  })
})
