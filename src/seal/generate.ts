import { randomInt } from 'node:crypto'
import { Secret } from '../kernel/index.ts'

const CLASSES = ['ABCDEFGHIJKLMNOPQRSTUVWXYZ', 'abcdefghijklmnopqrstuvwxyz', '0123456789', '-_'] as const
const ALL = CLASSES.join('')
/** 40 characters of 64: 240 bits, less the fraction of a bit that "one of each class" costs. */
const LENGTH_CHARS = 40

/**
 * A new password of 40 characters `A-Z a-z 0-9 - _`, at least one of each class, none of which needs quoting in a shell, a URL,
 * an .env file or SQL. Begins with a letter, for tools that take a leading `-` for an option.
 */
export function generatePassword(): Secret {
  for (;;) {
    let text = ''
    for (let i = 0; i < LENGTH_CHARS; i++) text += ALL[randomInt(ALL.length)]
    if (/^[A-Za-z]/.test(text) && CLASSES.every((chars) => [...chars].some((char) => text.includes(char)))) return Secret.fromText(text)
  }
}
