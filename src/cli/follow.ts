import { type ErrorCode, RekeyError } from '../kernel/index.ts'
import type { Cli } from './cli.ts'
import { EXIT } from './exit.ts'

const REFUSED: readonly ErrorCode[] = ['forbidden', 'unauthenticated', 'step_up_required']
/** As refusals name the action: `You may not do closure:read.` */
const ACTION = /\b[a-z-]+:[a-z-]+\b/

/** What a command has begun, whatever becomes of the waiting. */
export interface Begun {
  /** With its id: `The offboarding of ada (01890000-…) has begun`. */
  readonly what: string
  /** What shows it to whoever may read it. */
  readonly see: string
  /** The same for programs. */
  readonly ids: Readonly<Record<string, unknown>>
}

/**
 * Waits as `wait` does. If the server refuses that to this token, what was begun goes on all the same, so it is no failure: it is said
 * what was begun and which action is missing, with an exit status of its own.
 */
export async function follow({ out }: Cli, { what, see, ids }: Begun, wait: () => Promise<number>): Promise<number> {
  try {
    return await wait()
  } catch (error) {
    if (!(error instanceof RekeyError) || !REFUSED.includes(error.code)) throw error
    const missing = error.code === 'forbidden' ? (ACTION.exec(error.message)?.[0] ?? null) : null
    if (out.json) out.object({ ...ids, followed: false, missing, error: error.code, reason: error.message })
    else {
      out.note(`rekey: ${what}, and goes on. Waiting for it was refused: ${error.message}`)
      const ask = missing === null ? 'Ask somebody who may follow it' : `Waiting needs ${missing}. Ask somebody who may do that`
      out.note(`hint: ${ask}: ${see}`)
    }
    return EXIT.notFollowed
  }
}
