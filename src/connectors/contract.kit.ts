import { afterAll, beforeAll, describe } from 'vitest'
import { type Bench, expectCode, makeMove, withBench } from './contract.kit.bench.ts'
import type { ContractLab } from './contract.kit.lab.ts'
import { describeServer } from './contract.kit.server.ts'
import { describeFaults, describeLate, describeMove, describeSessions } from './contract.kit.strategy.ts'
import { describeSuspension } from './contract.kit.suspension.ts'
import { describeListing, describeNames, describeProbe, describeRoot } from './contract.kit.system.ts'
import { describeTls } from './contract.kit.tls.ts'
import type { Strategy } from './contract.ts'

export { expectCode, expectNoLeak, freshSecret } from './contract.kit.bench.ts'
export type { ContractLab, LabCertificate, LabProxy, LabSession } from './contract.kit.lab.ts'

/**
 * The promises of `contract.ts`, tried against a real system under every strategy that the connector declares.
 * Call it at the top level of a test file; `makeLab` starts the system once, `lab.stop` ends it.
 */
export function contractSuite(name: string, makeLab: () => Promise<ContractLab>): void {
  describe(`${name} keeps the connector contract`, { timeout: 60_000 }, () => {
    let lab: ContractLab
    beforeAll(async () => {
      lab = await makeLab()
    }, 120_000)
    afterAll(() => lab?.stop(), 60_000)

    const bench = (use: (b: Bench) => Promise<void>) => () => withBench(lab, use)
    describeNames(bench)
    describeProbe(bench)
    describeRoot(bench)
    describeListing(bench)
    describe('which server', () => describeServer(bench))
    describe('suspension', () => describeSuspension(bench))
    describe('TLS', () => describeTls(bench))
    describe.each<Strategy>(['in-place', 'alternating', 'dual'])('%s', (strategy) => {
      const when = (use: (b: Bench, s: Strategy) => Promise<void>) =>
        bench(async (b) => {
          if (b.lab.connector.describe().strategies.includes(strategy)) return use(b, strategy)
          // A strategy that is not declared must be refused, not half done.
          const { order, old } = await makeMove(b, strategy)
          await expectCode(b.open().install(b.ctx, order), 'target_unsupported', [order.secret, old.secret])
        })
      describeMove(when)
      describeSessions(when)
      describeFaults(when)
      describeLate(when)
    })
  })
}
