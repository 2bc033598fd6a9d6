import { inspect } from 'node:util'
import { expect } from 'vitest'
import { type Ctx, type ErrorCode, makeCtx, newId, RekeyError, Secret, sleep } from '../kernel/index.ts'
import type { ContractLab } from './contract.kit.lab.ts'
import type { InstallOrder, Strategy, SystemSpec, Target } from './contract.ts'

const TIMEOUT_MS = 5000
/** A timed-out call may be late by this on a busy machine. */
export const SLACK_MS = 1500

/** A fresh value, never seen before, printable ASCII as Rekey generates them. */
export function freshSecret(): Secret {
  return Secret.fromText(`kit-${newId()}-${newId()}`)
}

/** Fails if any form of `error` that could be printed or logged carries one of the values. */
export function expectNoLeak(error: unknown, secrets: readonly Secret[]): void {
  const seen: string[] = []
  for (let at: unknown = error; at instanceof Error; at = at.cause) {
    seen.push(String(at), at.stack ?? '', inspect(at, { depth: 12, showHidden: true, getters: true }), JSON.stringify(at))
    seen.push(JSON.stringify(Object.fromEntries(Object.getOwnPropertyNames(at).map((key) => [key, inspect(Reflect.get(at, key))]))))
  }
  const text = seen.join('\n')
  for (const secret of secrets) expect(secret.revealText((value) => text.includes(value))).toBe(false)
}

/** Resolves with the error of that code with which `work` rejects; fails if it resolves or rejects with another. */
export async function expectCode(work: Promise<unknown>, code: ErrorCode, secrets: readonly Secret[] = []): Promise<RekeyError> {
  const error = await work.then(
    () => null,
    (thrown: unknown) => thrown,
  )
  expect(error, `should reject with ${code}`).toBeInstanceOf(RekeyError)
  if (!(error instanceof RekeyError)) throw new Error('unreachable')
  expectNoLeak(error, secrets)
  expect(error.code, error.detail).toBe(code)
  return error
}

/** What one test works with; every target opened through it is closed afterwards. */
export interface Bench {
  readonly lab: ContractLab
  readonly ctx: Ctx
  open(change?: Partial<SystemSpec>): Target
  spec(change?: Partial<SystemSpec>): SystemSpec
  account(secret: Secret, name?: string): Promise<string>
}

/** The accounts of one move: with alternating the new value lives on another account than the old. */
export interface Move {
  readonly old: { readonly account: string; readonly secret: Secret }
  readonly next: { readonly account: string; readonly secret: Secret }
  readonly order: InstallOrder
}

/** Makes a test of a case that runs once for the system. */
export type InBench = (use: (b: Bench) => Promise<void>) => () => Promise<void>
/** Makes a test of a case that runs once under each strategy. */
export type InStrategy = (use: (b: Bench, strategy: Strategy) => Promise<void>) => () => Promise<void>

/** Runs one case and closes every target that it opened. */
export async function withBench(lab: ContractLab, use: (b: Bench) => Promise<void>): Promise<void> {
  const targets: Target[] = []
  const spec = (change: Partial<SystemSpec> = {}): SystemSpec => ({
    name: 'lab',
    address: lab.address,
    rootAccount: lab.root.account,
    rootSecrets: [lab.root.secret],
    timeoutMs: TIMEOUT_MS,
    concurrent: 4,
    ...change,
  })
  const open = (change?: Partial<SystemSpec>) => {
    const target = lab.connector.open(spec(change))
    targets.push(target)
    return target
  }
  const account = async (secret: Secret, name = `acc_${newId().slice(-12)}`) => {
    await lab.createAccount(name, secret)
    return name
  }
  try {
    await use({ lab, ctx: makeCtx('test', 'kit'), spec, open, account })
  } finally {
    await Promise.all(targets.map((target) => target.close()))
  }
}

/** The accounts, values and install order of one move under a strategy; `name` is the account that gets the new value. */
export async function makeMove(b: Bench, strategy: Strategy, name?: string): Promise<Move> {
  const old = { account: '', secret: freshSecret() }
  const next = { account: '', secret: freshSecret() }
  next.account = await b.account(strategy === 'alternating' ? freshSecret() : old.secret, name)
  old.account = strategy === 'alternating' ? await b.account(old.secret) : next.account
  const current = strategy === 'alternating' ? null : old.secret
  return { old, next, order: { account: next.account, strategy, secret: next.secret, current } }
}

/** The outcome of one probe. */
export const outcome = async (b: Bench, target: Target, of: { account: string; secret: Secret }) =>
  (await target.probe(b.ctx, of.account, of.secret)).outcome

/** Retires the old value of a move. */
export const retire = (b: Bench, target: Target, { order, old, next }: Move) =>
  target.retire(b.ctx, {
    strategy: order.strategy,
    account: old.account,
    old: old.secret,
    keep: order.strategy === 'alternating' ? null : next.secret,
  })

/** Waits until `look` answers `wanted`, at most `ms`; resolves with the last answer. */
export async function settle<T>(look: () => Promise<T>, wanted: T, ms = 3000): Promise<T> {
  let last = await look()
  for (let waited = 0; last !== wanted && waited < ms; waited += 50) {
    await sleep(50)
    last = await look()
  }
  return last
}
