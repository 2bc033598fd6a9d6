import { z } from 'zod'
import { findCredential, listConsumers, listVersions } from '../../../credential/index.ts'
import { RekeyError } from '../../../kernel/index.ts'
import { route } from '../../route.ts'
import { Consumer, Credential, Name, Version } from '../../views.ts'

export const showCredential = route({
  method: 'GET',
  path: '/v1/credentials/:name',
  summary: 'One credential, every version of it and its consumers; never a value.',
  action: 'inventory:read',
  params: z.strictObject({ name: Name }),
  answers: {
    200: { what: 'The credential', schema: z.object({ credential: Credential, versions: z.array(Version), consumers: z.array(Consumer) }) },
  },
  problems: ['not_found'],
  handle: async ({ parts, params }) => {
    const { store } = parts
    const credential = await findCredential(store, params.name)
    if (credential === null) throw new RekeyError('not_found', `No such credential: ${params.name}`, { hint: 'See rekey credential list.' })
    const [versions, consumers] = await Promise.all([listVersions(store, credential.id), listConsumers(store, credential.id)])
    return { status: 200, body: { credential, versions, consumers } }
  },
})
