import type { Cli } from '../cli.ts'
import { EXIT } from '../exit.ts'
import { readSecretFile } from '../secrets.ts'

interface Challenge {
  readonly challenge: string
  /** Base64. */
  readonly nonce: string
}

/** Proves to the server that the consumer has the new value, without sending the value: an HMAC over the server's challenge. */
export async function consumerReport(
  cli: Cli,
  credential: string,
  consumer: string,
  { secretFile }: { readonly secretFile: string },
): Promise<number> {
  const secret = await readSecretFile(secretFile, `consumer ${consumer}`, cli.out)
  const client = await cli.client()
  const path = `/v1/credentials/${encodeURIComponent(credential)}/consumers/${encodeURIComponent(consumer)}/challenges`
  const { challenge, nonce } = await client.post<Challenge>(path, {}, { startsWork: false })
  const { possessionProof } = await import('../../seal/index.ts')
  const proof = Buffer.from(possessionProof(secret, Buffer.from(nonce, 'base64'))).toString('base64')
  await client.post<null>(`/v1/challenges/${encodeURIComponent(challenge)}/answer`, { proof }, { startsWork: false })
  if (cli.out.json) cli.out.object({ credential, consumer, accepted: true })
  else cli.out.note('The proof was accepted.')
  return EXIT.ok
}
