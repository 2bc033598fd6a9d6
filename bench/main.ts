/** Runs every benchmark in a process of its own, one after another, or those that are named. */
import { spawnSync } from 'node:child_process'

const ALL = ['rotation', 'gap', 'evidence', 'scale', 'policy', 'record', 'scim', 'closure']
const named = process.argv.slice(2)
const unknown = named.filter((name) => !ALL.includes(name))
if (unknown.length > 0) {
  console.error(`No benchmark named ${unknown.join(', ')}. There are: ${ALL.join(', ')}.`)
  process.exit(2)
}
for (const name of named.length > 0 ? named : ALL) {
  const { status } = spawnSync(process.execPath, [new URL(`./${name}.ts`, import.meta.url).pathname], { stdio: 'inherit' })
  if (status !== 0) process.exit(1)
}
