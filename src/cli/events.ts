import { RekeyError } from '../kernel/index.ts'

/** One event of a `text/event-stream`. */
export interface ServerEvent {
  readonly event: string
  readonly data: string
}

/** Longest event that is kept in memory, characters. */
const EVENT_CHARS = 4 * 1024 * 1024

/**
 * Reads server-sent events (HTML Living Standard, section 9.2.6) from bytes cut anywhere. Comments, `id` and `retry` are passed over;
 * an event that the end of the stream cuts off is dropped, as the standard says. Throws `too_large` if one event is longer than
 * 4 Mi characters.
 */
export async function* readEvents(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<ServerEvent> {
  let event = ''
  let data: string[] = []
  let size = 0
  for await (const line of readLines(bytes)) {
    if (line === '') {
      if (data.length > 0) yield { event: event || 'message', data: data.join('\n') }
      event = ''
      data = []
      size = 0
      continue
    }
    const colon = line.indexOf(':')
    const field = colon < 0 ? line : line.slice(0, colon)
    const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '')
    if (field === 'event') event = value
    if (field !== 'data') continue
    size += value.length
    if (size > EVENT_CHARS) throw tooLong()
    data.push(value)
  }
}

/** Lines that end with LF, CR LF or CR, without their ends. What follows the last end is not a line. */
async function* readLines(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder()
  let rest = ''
  for await (const chunk of bytes) {
    rest += decoder.decode(chunk, { stream: true })
    // A CR at the very end may be the first half of CR LF: it waits for what follows.
    const lines = rest.split(/\r\n|\n|\r(?!$)/)
    rest = lines.pop() ?? ''
    if (rest.length > EVENT_CHARS) throw tooLong()
    yield* lines
  }
  if (rest.endsWith('\r')) yield rest.slice(0, -1)
}

function tooLong(): RekeyError {
  return new RekeyError('too_large', 'The server sent an event that is too long.')
}
