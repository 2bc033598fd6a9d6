import { join } from 'node:path'
import { defineConfig } from 'vitest/config'
import { BaseSequencer, type TestSpecification } from 'vitest/node'
import { findProgram } from './test/lab/program.ts'

/** Tests that need a system which this machine lacks. Under `REKEY_LAB=all` they run and fail: nothing is skipped unsaid. */
const LAB = [
  {
    program: 'mariadbd',
    tests: ['src/connectors/mariadb/contract.test.ts', 'src/connectors/mariadb/mariadb.test.ts', 'src/credential/rotation.places.test.ts'],
  },
  { program: 'redis-server', tests: ['src/connectors/redis/contract.test.ts', 'src/connectors/redis/redis.test.ts'] },
  { program: 'chromium', tests: ['approvals', 'closure', 'identities', 'login'].map((room) => `test/console/${room}.test.ts`) },
]
/** What is tried here with processes killed and answers lost must hold every time: a second try would hide what is being looked for. */
const FAULTS = 'test/faults/**/*.test.ts'
/** Started first, so that none of them is left to run alone at the end. */
const LONGEST = [
  'test/faults/closure.test.ts',
  'test/cli/cli.test.ts',
  'drill/drill.test.ts',
  'test/older/store.test.ts',
  'test/faults/crash.test.ts',
  'test/e2e/stop.test.ts',
  'test/docs.test.ts',
  'test/canary/product.test.ts',
].map((path) => join(import.meta.dirname, path))
class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const place = ({ moduleId }: TestSpecification) => (LONGEST.includes(moduleId) ? LONGEST.indexOf(moduleId) : LONGEST.length)
    return (await super.sort(files)).sort((a, b) => place(a) - place(b))
  }
}
const missing = process.env.REKEY_LAB === 'all' ? [] : LAB.filter(({ program }) => findProgram(program) === null)
for (const { program, tests } of missing) console.warn(`skipped, since ${program} is not installed: ${tests.join(', ')}`)

export default defineConfig({
  test: {
    globalSetup: ['test/run.ts'],
    setupFiles: ['test/setup.ts'],
    pool: 'forks',
    // Tests wait a good part of their time; with three, two cores are busy.
    maxWorkers: 3,
    sequence: { sequencer: LongestFirst },
    testTimeout: 60_000,
    hookTimeout: 120_000,
    teardownTimeout: 30_000,
    projects: [
      {
        extends: true,
        test: {
          name: 'tests',
          include: ['src/**/*.test.ts', 'test/**/*.test.ts', 'drill/**/*.test.ts'],
          exclude: [FAULTS, ...missing.flatMap(({ tests }) => tests)],
          // Real servers on a machine that others use too: one second try, and the output names whatever needed it.
          retry: process.env.REKEY_LAB === 'all' ? 1 : 0,
        },
      },
      { extends: true, test: { name: 'faults', include: [FAULTS] } },
    ],
  },
})
