import { startLab } from '../../../test/lab/postgres.contract.ts'
import { contractSuite } from '../contract.kit.ts'

contractSuite('PostgreSQL', startLab)
