import type { ConsumerView, CredentialView } from '../../credential/index.ts'
import { isCode, RekeyError, sleep } from '../../kernel/index.ts'
import type { Cli } from '../cli.ts'
import type { Client } from '../client.ts'
import { EXIT } from '../exit.ts'
import { readSecretFile } from '../secrets.ts'

/**
 * How long a report waits until its rotation takes it. Rekey writes the consumer's file a moment before the rotation's row says so:
 * a consumer that is told by its file is faster than the row.
 */
const PATIENCE_MS = 10_000
const PAUSE_MS = 250
/** States in which a rotation takes reports, or soon will. */
const WAITED_FOR: readonly string[] = ['planned', 'staged', 'installed', 'verified', 'distributed'] satisfies NonNullable<
  CredentialView['rotation']
>['state'][]

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
  const { challenge, nonce } = await challengeFor(cli, client, credential, consumer)
  const { possessionProof } = await import('../../seal/index.ts')
  const proof = Buffer.from(possessionProof(secret, Buffer.from(nonce, 'base64'))).toString('base64')
  await client.post<null>(`/v1/challenges/${encodeURIComponent(challenge)}/answer`, { proof }, { startsWork: false })
  if (cli.out.json) cli.out.object({ credential, consumer, accepted: true })
  else cli.out.note('The proof was accepted.')
  return EXIT.ok
}

/** A challenge, as soon as the rotation takes reports. Throws `wrong_state` where waiting does not help, or did not. */
async function challengeFor(cli: Cli, client: Client, credential: string, consumer: string): Promise<Challenge> {
  const path = `/v1/credentials/${encodeURIComponent(credential)}/consumers/${encodeURIComponent(consumer)}/challenges`
  const startedMs = cli.clock.monotonicMs()
  for (let tried = 0; ; tried++) {
    try {
      return await client.post<Challenge>(path, {}, { startsWork: false })
    } catch (error) {
      if (!isCode(error, 'wrong_state') || !(await comesToReports(client, credential, consumer))) throw error
      if (cli.clock.monotonicMs() - startedMs > PATIENCE_MS) {
        throw new RekeyError('wrong_state', `${error.message} Waited ${PATIENCE_MS / 1000} s.`, {
          hint: 'Look at what the rotation does (rekey credential show), and report again.',
        })
      }
      if (tried === 0) cli.out.note(`The rotation takes no reports yet, waiting up to ${PATIENCE_MS / 1000} s.`)
    }
    await sleep(PAUSE_MS)
  }
}

async function comesToReports(client: Client, credential: string, consumer: string): Promise<boolean> {
  const found = await client.get<{ credential: CredentialView; consumers: readonly ConsumerView[] }>(
    `/v1/credentials/${encodeURIComponent(credential)}`,
  )
  const { rotation } = found.credential
  const reports = found.consumers.some(({ name, activation }) => name === consumer && activation === 'report')
  return reports && rotation !== null && WAITED_FOR.includes(rotation.state)
}
