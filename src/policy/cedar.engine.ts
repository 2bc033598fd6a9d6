/** Instances of Cedar. Each has a memory of its own: what damages one does not reach the others. */
import { createRequire } from 'node:module'
import type * as Cedar from '@cedar-policy/cedar-wasm/nodejs'
import { schemaText } from './cedar.schema.ts'

const SCHEMA = 'rekey'
const LIBRARY = '@cedar-policy/cedar-wasm/nodejs'
const load = createRequire(import.meta.url)

/** A library that is loaded anew has an instance anew: some 80 ms and 10 MB, the code is compiled once. It is gone with its last user. */
function newInstance(): typeof Cedar {
  const path = load.resolve(LIBRARY)
  delete load.cache[path]
  try {
    return load(path) as typeof Cedar
  } finally {
    delete load.cache[path]
  }
}

/** One instance, with the schema. */
export class Engine {
  readonly cedar = newInstance()
  #schema: string | null = null

  /** The name under which this instance holds the schema parsed. */
  get schemaName(): string {
    this.schema
    return SCHEMA
  }

  /** The schema's text, parsed once in this instance. */
  get schema(): string {
    if (this.#schema !== null) return this.#schema
    const text = schemaText()
    const answer = this.cedar.preparseSchema(SCHEMA, text)
    if (answer.type === 'failure') {
      throw new Error(`the policy schema is not valid: ${answer.errors.map(({ message }) => message).join('; ')}`)
    }
    this.#schema = text
    return text
  }
}

let reader: WeakRef<Engine> | null = null

/** The instance in which texts are read. None that decides; whoever has nothing to read does not hold its memory. */
export function reading<T>(use: (engine: Engine) => T): T {
  const engine = reader?.deref() ?? new Engine()
  reader ??= new WeakRef(engine)
  if (reader.deref() !== engine) reader = new WeakRef(engine)
  try {
    return use(engine)
  } catch (error) {
    // Its stack was left behind wherever it failed.
    reader = null
    throw error
  }
}
