/** The process that reads policies which somebody wrote, and asks them: Cedar may fail in it as it likes. */
import { hear, say } from '../kernel/index.ts'
import type { ReadJob } from './read.wire.ts'
import { workOn } from './read.work.ts'

workOn(hear() as ReadJob, say)
