/** What is approved before an issuer or a rule of one counts, in words and as data. */
import type { Json } from '../kernel/index.ts'
import type { Approvable } from './approval.model.ts'
import type { IssuerFields, KeySource, RuleFields } from './issuer.model.ts'

interface Named {
  readonly id: string
  readonly name: string
  readonly kind: string
}

/** Trusting exactly this issuer. */
export function issuerAsked({ name, origin, keys, algorithms, ...rest }: IssuerFields): Approvable {
  return {
    action: 'issuer:configure',
    subject: name,
    what: { issuer: name, origin, keys: { ...keys }, algorithms: [...algorithms], ...rest },
    words: [
      `Trust tokens of the issuer ${JSON.stringify(name)} (${origin}, ${rest.type}) for the audience ${JSON.stringify(rest.audience)}.`,
      `Whoever has its keys speaks for what its rules name. ${keysIn(keys)}`,
    ].join('\n'),
  }
}

function keysIn(keys: KeySource): string {
  if (keys.from === 'url') return `Keys from ${keys.url}.`
  return keys.from === 'discovery' ? 'Keys by discovery at the issuer.' : 'Its keys are given here, as data below.'
}

/** Letting exactly these claims stand for an identity. */
export function ruleAsked(
  issuer: { readonly id: string; readonly name: string },
  rule: RuleFields,
  stands: Named,
  actsFor: Named | null,
): Approvable {
  const { part, claims, prefixes, hardware, scope, environments } = rule
  const limits = { scope: scope === null ? null : [...scope], environments: environments === null ? null : [...environments] }
  const what: Json = { issuer: issuer.id, name: issuer.name, part, claims: { ...claims }, prefixes: { ...prefixes }, hardware, ...limits }
  const told = (verb: string, of: Readonly<Record<string, string>>) =>
    Object.entries(of).map(([claim, text]) => `- ${claim} ${verb} ${JSON.stringify(text)}`)
  return {
    action: 'issuer:configure',
    subject: stands.name,
    what: { ...what, identity: stands.id, actsFor: actsFor?.id ?? null },
    about: [stands.id, ...(actsFor === null ? [] : [actsFor.id])],
    words: [
      `Let tokens of the issuer ${JSON.stringify(issuer.name)} speak as the ${stands.kind} ${JSON.stringify(stands.name)} (${stands.id})`,
      `where their ${part === 'actor' ? 'act claim' : 'claims'} say:`,
      ...told('is', claims),
      ...told('begins with', prefixes),
      ...(scope === null ? [] : [`Scope: ${scope.join(', ')}.`]),
      ...(environments === null ? [] : [`Environments: ${environments.join(', ')}.`]),
      ...(actsFor === null ? [] : [`It acts for the ${actsFor.kind} ${JSON.stringify(actsFor.name)} (${actsFor.id}).`]),
      ...(hardware ? ['The claims say that the key of a bound token lies in hardware.'] : []),
    ].join('\n'),
  }
}
