/**
 * How deeply a text of policies is nested, told without parsing it: Cedar's parser and validator go one step down their stack for each
 * level, and a text that exhausts it damages the instance that reads it. Measured: brackets do it at 110 to 140 levels, `if` at 400 to 800;
 * from 200 to 400 links of `&&` or `+` on the evaluator gives up. What was parsed is measured again by its syntax tree: if this reading and
 * Cedar's ever differ, that one holds.
 */
import { COMMENT, STRING, type TextFault } from './letters.ts'

/** Most brackets within brackets. */
export const NESTING_MAX = 32
/** Most levels of brackets, operators, `if` and accesses together on one way down. */
export const LEVELS_MAX = 160

/** From here on a policy may be what makes Cedar fail when it decides, which takes ten times as many levels. */
export const DEEP = LEVELS_MAX / 4

const TOKEN = new RegExp(String.raw`${STRING}|${COMMENT}|\n|[A-Za-z_]\w*|&&|\|\||::|[=!<>]=|[-.,:;<>+*!=()[\]{}]`, 'g')
const FAR = `An expression here is more than ${LEVELS_MAX} levels deep: split it into several policies.`
const OPENING = '([{'
const CLOSING = ')]}'
/** Words that stand between operands, beside the signs. */
const WORDS = new Set(['in', 'has', 'like', 'is'])
/** Signs that are an operator or an access, each a level. */
const SIGN = /^(?:[=!<>]=|[-.<>+*!])$/

/**
 * What stands in one pair of brackets, by how it binds: `if`, then `||`, `&&`, and everything else. Chains that stand beside each other do
 * not add up: a hundred alternatives of three operators each are a hundred levels and three.
 */
class Level {
  /** The deepest of what is over: elements before a comma, parts of an `if`, alternatives, operands of `&&`. */
  #elements = 0
  #parts = 0
  #alternatives = 0
  #operands = 0
  #ifs = 0
  #ors = 0
  #ands = 0
  #links = 0
  #inner = 0

  /** The deepest way down in here so far. */
  get deepest(): number {
    return Math.max(this.#elements, this.#ifs + Math.max(this.#parts, this.#alternation))
  }

  get #operand(): number {
    return Math.max(this.#operands, this.#links + this.#inner)
  }

  get #alternation(): number {
    return this.#ors + Math.max(this.#alternatives, this.#ands + this.#operand)
  }

  link(): void {
    this.#links++
  }

  /** What stands in brackets in here is `inner` deep. */
  holds(inner: number): void {
    this.#inner = Math.max(this.#inner, inner)
  }

  and(): void {
    this.#operands = this.#operand
    this.#links = this.#inner = 0
    this.#ands++
  }

  or(): void {
    this.#alternatives = Math.max(this.#alternatives, this.#ands + this.#operand)
    this.#ands = this.#operands = this.#links = this.#inner = 0
    this.#ors++
  }

  /** `if`, `then` and `else`: each `if` may hold the next one. */
  part(isIf: boolean): void {
    this.#parts = Math.max(this.#parts, this.#alternation)
    this.#ors = this.#alternatives = this.#ands = this.#operands = this.#links = this.#inner = 0
    if (isIf) this.#ifs++
  }

  /** A comma or semicolon: what follows stands beside what was. */
  next(): void {
    this.#elements = this.deepest
    this.part(false)
    this.#ifs = this.#parts = 0
  }
}

/** The first place of a text that is too deep to be read; null if there is none. Takes time in proportion to the text, and no stack. */
export function tooDeep(text: string): TextFault | null {
  let line = 1
  let level = new Level()
  const around: Level[] = []
  const leave = () => {
    const outer = around.pop()
    // One that closes nothing is the parser's to name.
    if (outer === undefined) return
    outer.holds(level.deepest)
    level = outer
  }
  const far = () => ({ line, message: FAR })
  for (const [token] of text.matchAll(TOKEN)) {
    if (token === '\n' || token.startsWith('"')) line += token.split('\n').length - 1
    else if (OPENING.includes(token)) {
      if (around.length === NESTING_MAX) return { line, message: `Brackets are nested more than ${NESTING_MAX} deep here.` }
      level.link()
      around.push(level)
      level = new Level()
    } else if (CLOSING.includes(token)) leave()
    else take(level, token)
    if (level.deepest > LEVELS_MAX) return far()
  }
  // What is never closed counts as well: whether the parser gets as far as it goes down is its own affair.
  while (around.length > 0) leave()
  return level.deepest > LEVELS_MAX ? far() : null
}

function take(level: Level, token: string): void {
  if (token === ',' || token === ';') level.next()
  else if (token === '||') level.or()
  else if (token === '&&') level.and()
  else if (token === 'if' || token === 'then' || token === 'else') level.part(token === 'if')
  else if (WORDS.has(token) || SIGN.test(token)) level.link()
}

/** Of a syntax tree: an expression is an object with its operator's name, in it an object or a list with its operands. */
const NESTED_PER_LEVEL = 2
/** What stands around an expression in the list of conditions, and what a constant is made of within one. */
const NESTED_BESIDE = 4

/** How many levels the conditions of a syntax tree go down; each is one for the next, too. Looks at no name in it, and takes no stack. */
export function treeLevels(conditions: readonly unknown[]): number {
  let nested = -NESTED_BESIDE
  for (let now = conditions; now.length > 0; nested++) {
    now = now.flatMap((one) => (typeof one === 'object' && one !== null ? Object.values(one) : []))
  }
  return conditions.length + Math.max(0, Math.ceil(nested / NESTED_PER_LEVEL))
}

/** What is wrong with the conditions of a syntax tree if they go deeper than a text may. */
export function treeTooDeep(conditions: readonly unknown[]): string | null {
  return treeLevels(conditions) > LEVELS_MAX ? FAR : null
}
