import { makeCtx, newId, printable, RekeyError } from '../../kernel/index.ts'
import {
  type CaseResult,
  defaultFiles,
  overlay,
  Policies,
  type PolicyFile,
  type PolicySet,
  readCases,
  readPolicies,
  runCases,
} from '../../policy/index.ts'
import type { Cli, CommonOptions } from '../cli.ts'
import { EXIT } from '../exit.ts'
import { readInput } from '../files.ts'
import { readPolicyFolder } from '../folder.ts'

/** Of a file of cases. */
const CASES_BYTES = 1024 * 1024

/** Options of `rekey policy test`. */
export interface PolicyTestOptions extends CommonOptions {
  readonly policies?: string
  readonly default?: boolean
}

/**
 * Runs expected decisions: against the policies in force at the server; or, without a server, against the default ones or a folder laid
 * over them. Ends with 1 if one is decided otherwise.
 */
export async function policyTest(cli: Cli, file: string, options: PolicyTestOptions): Promise<number> {
  const { bytes } = await readInput(file, CASES_BYTES)
  if (bytes.length > CASES_BYTES) throw new RekeyError('too_large', `${file} is larger than ${CASES_BYTES / 1024} KiB.`)
  const results = await inFile(file, async () => {
    const expectations = readCases(new TextDecoder().decode(bytes))
    const policies = new Policies(await setOf(cli, options))
    return runCases(makeCtx('cli', newId(), { clock: cli.clock }), policies, expectations)
  })
  const failed = results.filter(({ passed }) => !passed)
  if (cli.out.json) for (const result of results) cli.out.object(shown(result))
  else
    for (const { name, line, action, expect, got, policies } of failed) {
      const why = policies.length === 0 ? 'no policy' : policies.join(', ')
      cli.out.line(printable(`${file}:${line}: ${name}: ${action} should be ${expect}, is ${got} (${why})`))
    }
  cli.out.note(`${results.length} decisions, ${failed.length} not as expected.`)
  return failed.length === 0 ? EXIT.ok : EXIT.failed
}

async function setOf(cli: Cli, { policies, default: own }: PolicyTestOptions): Promise<PolicySet> {
  if (policies !== undefined) return readPolicies(overlay(defaultFiles(), await readPolicyFolder(policies)))
  if (own) return readPolicies(defaultFiles())
  return readPolicies((await (await cli.client()).get<{ files: readonly PolicyFile[] }>('/v1/policies/active')).files)
}

/** Faults of the cases know their line only; those of policies name their own file. */
async function inFile<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (!(error instanceof RekeyError) || error.code !== 'bad_input' || error.faults === undefined) throw error
    throw new RekeyError(error.code, error.message, { hint: error.hint, faults: error.faults.map((fault) => ({ path, ...fault })) })
  }
}

function shown({ name, line, action, expect, got, policies, passed }: CaseResult): object {
  return { name, line, action, expect, got, passed, policies }
}
