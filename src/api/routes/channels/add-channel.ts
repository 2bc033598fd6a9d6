import { z } from 'zod'
import { addChannel } from '../../../identity/index.ts'
import { route } from '../../route.ts'
import { Name, SecretValue, text } from '../../views.ts'
import { Channel } from './views.ts'

const Url = text(1000)
const Ca = text(64_000).nullable().default(null).describe('Certificates to trust instead of the usual ones, PEM.')

const Webhook = z.strictObject({
  kind: z.literal('webhook'),
  name: Name,
  secret: SecretValue.describe('The key that signs, base64; at least 16 bytes.'),
  settings: z.strictObject({ url: Url, link: Url, ca: Ca }),
})

const Smtp = z.strictObject({
  kind: z.literal('smtp'),
  name: Name,
  secret: SecretValue.nullable().default(null).describe("The user's password, base64."),
  settings: z.strictObject({
    host: text(253),
    port: z.int().min(1).max(65_535),
    tls: z.enum(['implicit', 'starttls', 'none']),
    from: text(254),
    user: text(200).nullable().default(null),
    link: Url,
    ca: Ca,
  }),
})

export const addChannelRoute = route({
  method: 'POST',
  path: '/v1/notify/channels',
  summary: 'Adds a webhook or a mail server, through which approvers are told.',
  action: 'notify:configure',
  body: z.discriminatedUnion('kind', [Webhook, Smtp]),
  answers: { 201: { what: 'It is there', schema: Channel } },
  problems: ['conflict', 'kek_unavailable'],
  startsWork: true,
  handle: async ({ parts, ctx, may, body }) => ({ status: 201, body: await addChannel(parts, ctx, may, body) }),
})
