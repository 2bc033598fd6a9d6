/** The client library, loaded when the first Redis is met: about 10 MiB that an installation without one need not carry. */
let loaded: typeof import('redis') | null = null

export async function library(): Promise<typeof import('redis')> {
  loaded ??= await import('redis')
  return loaded
}

/** True for an error that the server sent. Before the library is loaded no server can have sent one. */
export function isErrorReply(error: unknown): error is Error {
  return loaded !== null && error instanceof loaded.ErrorReply
}
