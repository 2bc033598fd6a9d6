import { createInterface } from 'node:readline'
import { LIMITS, RekeyError, Secret } from '../kernel/index.ts'
import { Interrupted } from './exit.ts'

const [CTRL_C, CTRL_D, CTRL_H, LINE_FEED, CARRIAGE_RETURN, CTRL_U, DELETE] = [0x03, 0x04, 0x08, 0x0a, 0x0d, 0x15, 0x7f]

/** Whether somebody can be asked. */
export function canAsk(): boolean {
  return process.stdin.isTTY === true
}

/** Asks on standard error; anything but `y` or `yes` is a no, also the end of input. Throws `Interrupted` at Ctrl-C. */
export async function askYesNo(question: string): Promise<boolean> {
  return /^y(es)?$/i.test(await askLine(`${question} [y/N] `))
}

/** Asks for one text to be typed as it is; anything else is a no. Throws `Interrupted` at Ctrl-C. */
export async function askExactly(question: string, wanted: string): Promise<boolean> {
  return (await askLine(`${question}: `)) === wanted
}

/** A line without blanks at its ends; empty at the end of input. */
export function askLine(question: string): Promise<string> {
  const lines = createInterface({ input: process.stdin, output: process.stderr })
  return new Promise((resolve, reject) => {
    lines.once('SIGINT', () => {
      reject(new Interrupted())
      lines.close()
    })
    lines.once('close', () => resolve(''))
    lines.question(question, (answer) => {
      resolve(answer.trim())
      lines.close()
    })
  })
}

/**
 * Asks for a secret without showing what is typed. The caller has seen that `canAsk`. Throws `Interrupted` at Ctrl-C, `bad_input` if
 * nothing was typed or more than a secret may hold.
 */
export async function askSecret(question: string): Promise<Secret> {
  const { stdin, stderr } = process
  stdin.setRawMode(true)
  stderr.write(`${question}: `)
  try {
    const typed = await readHidden(stdin)
    if (typed.length === 0) throw new RekeyError('bad_input', 'Nothing was typed.')
    if (typed.length > LIMITS.secretBytes) throw new RekeyError('bad_input', `A secret has at most ${LIMITS.secretBytes} bytes.`)
    return new Secret(Uint8Array.from(typed))
  } finally {
    stdin.setRawMode(false)
    stdin.pause()
    stderr.write('\n')
  }
}

/** The bytes up to Enter, as a terminal in raw mode sends them. What follows Enter in the same piece is dropped. */
function readHidden(stdin: NodeJS.ReadStream): Promise<number[]> {
  const typed: number[] = []
  return new Promise((resolve, reject) => {
    const settle = (act: () => void) => {
      stdin.off('data', onData)
      stdin.off('end', onEnd)
      act()
    }
    const onEnd = () => settle(() => resolve([]))
    const onData = (piece: Buffer) => {
      for (const byte of piece) {
        if (byte === CTRL_C) return settle(() => reject(new Interrupted()))
        if (byte === LINE_FEED || byte === CARRIAGE_RETURN) return settle(() => resolve(typed))
        if (byte === CTRL_D && typed.length === 0) return settle(() => resolve([]))
        if (byte === DELETE || byte === CTRL_H) dropCharacter(typed)
        else if (byte === CTRL_U) typed.length = 0
        // One byte too many is kept, to be refused; no more.
        else if (typed.length <= LIMITS.secretBytes) typed.push(byte)
      }
    }
    stdin.on('data', onData)
    stdin.once('end', onEnd)
    stdin.resume()
  })
}

/** Takes away the last UTF-8 character: continuation bytes (10xxxxxx) and what they continue. */
function dropCharacter(bytes: number[]): void {
  while (((bytes.pop() ?? 0) & 0xc0) === 0x80);
}
