/**
 * Where an error was thrown: `path:line:column` of at most `max` calls, the innermost first. Taken from the engine's own record of the
 * calls and never from the text of `error.stack`, in which a line of the message can look like a frame: nothing of the message gets in.
 * Empty for what is no error, and where that text was made before, which is when the engine lets its record go.
 */
export function framesOf(error: unknown, max = 12): string[] {
  if (!(error instanceof Error)) return []
  let sites: readonly NodeJS.CallSite[] = []
  const before = Error.prepareStackTrace
  Error.prepareStackTrace = (_error, got) => {
    sites = got
    return `${error}${got.map((site) => `\n    at ${site}`).join('')}`
  }
  try {
    // The first look makes the text.
    void error.stack
  } finally {
    Error.prepareStackTrace = before
  }
  return sites.slice(0, max).map((site) => `${site.getFileName() ?? 'native'}:${site.getLineNumber() ?? 0}:${site.getColumnNumber() ?? 0}`)
}

/** The class of anything thrown and where it was thrown, a line each: what a log may have of an error whose message may carry a value. */
export function traceOf(error: unknown): string {
  return [error instanceof Error ? error.constructor.name : 'not an error', ...framesOf(error)].join('\n')
}
