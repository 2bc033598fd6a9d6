/** Whose a consumer is. */

/** A consumer as this asks for it. */
export interface NamedConsumer {
  readonly name: string
  /** Id of the identity whose the fleet file says it is; null: it says nothing. */
  readonly identity: string | null
}

/** The identity that a credential belongs to. */
interface Holder {
  readonly id: string
  readonly name: string
}

/**
 * The id of the identity whose a consumer is: the one that the fleet file names; else the one that is called exactly like it (`named`, ids
 * by name); else the credential's own, if it is called like an instance of that (`orders-api-1` of `orders-api`); else null, nobody's that
 * is known.
 */
export function whoseConsumer(
  { name, identity }: NamedConsumer,
  holder: Holder | undefined,
  named: ReadonlyMap<string, string>,
): string | null {
  if (identity !== null) return identity
  const called = named.get(name)
  if (called !== undefined) return called
  if (holder === undefined) return null
  return name === holder.name || isInstanceOf(name, holder.name) ? holder.id : null
}

/** Whether a consumer is called like an instance of an identity: `orders-api-1` of `orders-api`. */
export const isInstanceOf = (name: string, of: string) => name.startsWith(of) && /^[-./:@#_]./.test(name.slice(of.length))
