import { contractSuite } from '../contract.kit.ts'
import { startLab } from './testing.ts'

contractSuite('MariaDB', startLab)
