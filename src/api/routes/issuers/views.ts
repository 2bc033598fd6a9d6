import { z } from 'zod'
import { ALGORITHMS, ISSUER_TYPES, type IssuerView, REPLAYS, type RuleView } from '../../../identity/index.ts'
import { ActionName } from '../../../policy/index.ts'
import { Name, text } from '../../views.ts'

export const Claims = z.record(text(200), text(2_048)).describe('Claim to text; a name that begins with / is a JSON pointer.')
export const Scope = z.array(ActionName).min(1).max(200)
export const Environments = z.array(Name).min(1).max(50)
export const IssuerFields = {
  type: z.enum(ISSUER_TYPES),
  origin: text(500).describe('What `iss` must be; of a trust domain its name.'),
  audience: text(500).describe('What `aud` must name: us.'),
  algorithms: z.array(z.enum(ALGORITHMS)).min(1).max(20),
  maxTokenAgeSeconds: z.int().min(1).max(86_400),
  clockSkewSeconds: z.int().min(0).max(300),
  keysMaxAgeSeconds: z.int().min(30).max(3_600).describe('A key that was taken away is refused after this time at the latest.'),
  replay: z
    .enum(REPLAYS)
    .describe('once: each token has an id and counts once. jti: once where it has one. age: as often as its age allows.'),
}

export const Issuer = z
  .object({
    id: z.string(),
    name: z.string(),
    ...IssuerFields,
    algorithms: z.array(z.string()),
    keysFrom: z.enum(['discovery', 'url', 'inline']),
    keysUrl: z.string().nullable(),
    rules: z.int(),
    weakRules: z.int().describe('Rules that go by a prefix.'),
    createdAt: z.iso.datetime(),
    createdBy: z.string(),
  })
  .meta({ id: 'Issuer' })

const Somebody = z.object({ id: z.string(), name: z.string().nullable() })

export const Rule = z
  .object({
    id: z.string(),
    issuer: z.string(),
    part: z.enum(['subject', 'actor']),
    identity: Somebody,
    claims: z.record(z.string(), z.string()),
    prefixes: z.record(z.string(), z.string()),
    weak: z.boolean().describe('It goes by a prefix.'),
    scope: z.array(z.string()).nullable(),
    environments: z.array(z.string()).nullable(),
    actsFor: Somebody.nullable(),
    hardware: z.boolean(),
    createdAt: z.iso.datetime(),
    createdBy: z.string(),
  })
  .meta({ id: 'IssuerRule' })

export function issuerView({ keys, createdAt, algorithms, ...rest }: IssuerView): z.output<typeof Issuer> {
  const keysUrl = keys.from === 'url' ? keys.url : null
  return { ...rest, algorithms: [...algorithms], keysFrom: keys.from, keysUrl, createdAt: createdAt.toISOString() }
}

export function ruleView({ createdAt, scope, environments, ...rest }: RuleView): z.output<typeof Rule> {
  const limits = { scope: scope === null ? null : [...scope], environments: environments === null ? null : [...environments] }
  return { ...rest, ...limits, createdAt: createdAt.toISOString() }
}
