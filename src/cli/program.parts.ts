import { type Command, InvalidArgumentError } from 'commander'
import type { Cli } from './cli.ts'

/** A command's own function; it gets the arguments as commander parsed them. */
export type Run<A extends unknown[]> = (cli: Cli, ...args: A) => Promise<number>

/** Adds one command. */
export type Add = <A extends unknown[]>(parent: Command, usage: string, texts: Texts, load: () => Promise<Run<A>>) => Command

/** What a command's help says. */
export interface Texts {
  readonly does: string
  /** A call as a user would type it. */
  readonly example: string
}

/** Adds the name that a group of commands stands under. */
export type Group = (program: Command, name: string, does: string) => Command

/** A count as an option. */
export function wholeNumber(text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new InvalidArgumentError('Write a whole number, 1 or more.')
  return Number(text)
}

const SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3_600, d: 86_400 }

/** A span of time as an option: `0`, `30m`, `12h`, `7d`; in seconds. */
export function seconds(text: string): number {
  const [, number, unit = 's'] = /^(\d{1,9})([smhd])?$/.exec(text) ?? []
  if (number === undefined || (unit === 's' && text !== '0' && !text.endsWith('s'))) {
    throw new InvalidArgumentError('Write a number with its unit: 30m, 12h, 7d.')
  }
  return Number(number) * (SECONDS[unit] ?? 1)
}
