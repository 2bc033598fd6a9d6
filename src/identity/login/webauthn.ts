/** The library that checks passkeys, loaded when the first one is asked for: about 12 MiB that a server which meets none need not carry. */
export function webauthn(): Promise<typeof import('@simplewebauthn/server')> {
  return import('@simplewebauthn/server')
}
