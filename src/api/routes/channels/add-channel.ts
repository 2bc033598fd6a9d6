import { z } from 'zod'
import { addChannel } from '../../../identity/index.ts'
import { RekeyError } from '../../../kernel/index.ts'
import { route } from '../../route.ts'
import { Name, SecretValue, text } from '../../views.ts'
import { Channel } from './views.ts'

const Url = text(1000)
const Ca = text(64_000).nullable().default(null).describe('Certificates to trust instead of the usual ones, PEM.')

const Webhook = z.strictObject({ url: Url, link: Url, ca: Ca })

const Smtp = z.strictObject({
  host: text(253),
  port: z.int().min(1).max(65_535),
  tls: z.enum(['implicit', 'starttls', 'none']),
  from: text(254),
  user: text(200).nullable().default(null),
  link: Url,
  ca: Ca,
})

export const addChannelRoute = route({
  method: 'POST',
  path: '/v1/notify/channels',
  summary: 'Adds a webhook or a mail server, through which approvers are told.',
  action: 'notify:configure',
  body: z
    .strictObject({
      name: Name,
      secret: SecretValue.nullable().default(null).describe("The key that signs, at least 16 bytes, or the user's password; base64."),
      webhook: Webhook.optional(),
      smtp: Smtp.optional(),
    })
    .refine(({ webhook, smtp }) => (webhook === undefined) !== (smtp === undefined), 'Either webhook or smtp.'),
  answers: { 201: { what: 'It is there', schema: Channel } },
  problems: ['conflict', 'kek_unavailable'],
  startsWork: true,
  handle: async ({ parts, ctx, may, body: { name, secret, webhook, smtp } }) => {
    const fields = webhook ? ({ kind: 'webhook', settings: webhook } as const) : smtp && ({ kind: 'smtp', settings: smtp } as const)
    if (fields === undefined) throw new RekeyError('bad_input', 'Either webhook or smtp.')
    return { status: 201, body: await addChannel(parts, ctx, may, { name, secret, ...fields }) }
  },
})
