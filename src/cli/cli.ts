import { type CliConfig, cliConfig } from '../config.ts'
import { type Clock, systemClock } from '../kernel/index.ts'
import type { Client } from './client.ts'
import { Output } from './output.ts'

/** What every command gets: where to speak to and where to print. */
export interface Cli {
  readonly config: CliConfig
  readonly out: Output
  readonly clock: Clock
  /** The way to the server, opened at first use. Rejects as `openClient` does. */
  client(): Promise<Client>
}

/** Options that every command has. */
export interface CommonOptions {
  readonly json?: boolean
  readonly data?: string
}

/** Reads the configuration and makes what a command needs. */
export function openCli(options: CommonOptions): Cli {
  const config = cliConfig({ data: options.data })
  const out = new Output({ json: options.json === true, color: config.color })
  let client: Promise<Client> | null = null
  const open = async () => (await import('./client.ts')).openClient(config, (text) => out.warn(text))
  return {
    config,
    out,
    clock: systemClock,
    client: () => {
      client ??= open()
      return client
    },
  }
}
