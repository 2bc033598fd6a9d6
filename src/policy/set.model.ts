import type { PolicyJson } from './cedar.ts'

/** One file of policies. `name` is without folder: `operator.cedar`. */
export interface PolicyFile {
  readonly name: string
  readonly text: string
}

/** What is wrong with a file, `line` from 1. */
export interface PolicyFault {
  readonly path: string
  readonly line: number
  readonly message: string
}

/** One policy of a set. */
export interface Policy {
  /** `<file>`, or `<file>/<@id>` where a file has several. */
  readonly id: string
  readonly file: string
  /** Where it begins, from 1. */
  readonly line: number
  readonly text: string
  readonly json: PolicyJson
}
