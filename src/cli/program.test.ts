import { readFileSync } from 'node:fs'
import type { Command } from 'commander'
import { expect, test } from 'vitest'
import { makeProgram } from './program.ts'

const config = readFileSync(new URL('../config.ts', import.meta.url), 'utf8')
const operations = readFileSync(new URL('../../docs/guide/operations.md', import.meta.url), 'utf8')

/** The variables that a function of config.ts reads. */
function readBy(name: string): string[] {
  const [, body = ''] = new RegExp(`export function ${name}\\((.*?)\\n}\\n`, 's').exec(config) ?? []
  return [...new Set([...body.matchAll(/\benv\.([A-Z_]+)/g)].map(([, variable = '']) => variable))].sort()
}

/** The variables that a help text lists. */
function listedBy(command: Command): string[] {
  let text = ''
  const writeOut = (more: string) => {
    text += more
  }
  command.configureOutput({ writeOut }).outputHelp()
  const [, list = ''] = text.split('\nEnvironment:\n')
  return [...list.matchAll(/^ {2}([A-Z_]+) /gm)].map(([, variable = '']) => variable).sort()
}

test('serve --help names every variable that serve reads, and no other; so does the guide', () => {
  const read = readBy('loadConfig')
  expect(read.length).toBeGreaterThan(8)
  const serve = makeProgram(() => undefined, false).commands.find((command) => command.name() === 'serve')
  expect(serve && listedBy(serve)).toEqual(read)
  expect([...operations.matchAll(/^\| `([A-Z_]+)` \|/gm)].map(([, variable = '']) => variable).sort()).toEqual(read)
})

test('the help of the program names every variable that the command line reads, and no other', () => {
  expect(readBy('cliConfig')).toContain('REKEY_URL')
  expect(listedBy(makeProgram(() => undefined, false))).toEqual(readBy('cliConfig'))
})
