import { pino } from 'pino'
import type { Log } from './kernel/index.ts'

/** Field names that are blanked wherever they appear, should a caller log one by mistake. `Secret` values print as `[secret]` anyway. */
const REDACT = ['secret', 'password', 'token', 'authorization', 'proof', 'sealed', 'key']

/** JSON lines on standard error, so that standard output stays for results. */
export function openLog(level: string): Log {
  const paths = REDACT.flatMap((name) => [name, `*.${name}`])
  return pino(
    { level, base: null, redact: { paths, censor: '[redacted]' }, timestamp: pino.stdTimeFunctions.isoTime },
    pino.destination({ dest: 2, sync: true }),
  )
}
