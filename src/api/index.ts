/** The HTTP interface: `startServer` puts the declared routes on a socket. Nothing here decides; the areas do. */
export { readConsole } from './console.ts'
export { isLoopback } from './hosts.ts'
export type { ApiParts } from './parts.ts'
export { type RunningServer, type ServerOptions, startServer } from './server.ts'
