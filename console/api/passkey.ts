import {
  type PublicKeyCredentialCreationOptionsJSON,
  type PublicKeyCredentialRequestOptionsJSON,
  startAuthentication,
  startRegistration,
} from '@simplewebauthn/browser'
import { type Answer, call, type Input, Problem } from './client.ts'

type Challenge = Answer<'POST /v1/login/passkey/begin'>
type Signed = NonNullable<Input<'POST /v1/login/passkey/finish'>['body']>['response']
type Made = NonNullable<Input<'POST /v1/login/enrol/finish'>['body']>['response']

/** What exactly is confirmed: an action, on one thing, with one content. */
export interface Act {
  readonly action: string
  readonly subject: string
  readonly digest: string
}

/** A challenge that waits for the person, with what it confirms in the server's words. */
export type StepUpChallenge = Answer<'POST /v1/step-up/begin'>

/** Logs in by whatever passkey the person chooses. */
export async function logInByPasskey(): Promise<void> {
  const asked = await call('POST /v1/login/passkey/begin', { body: {} })
  await call('POST /v1/login/passkey/finish', { body: { challenge: asked.challenge, response: await signed(asked) } })
}

/** Enrols a first passkey by a one-time code, and logs in. */
export async function enrolByCode(code: string, name: string): Promise<void> {
  const asked = await call('POST /v1/login/enrol/begin', { body: { code, name } })
  await call('POST /v1/login/enrol/finish', { body: { challenge: asked.challenge, response: await made(asked) } })
}

/** Enrols one more passkey of who is logged in. */
export async function enrol(name: string): Promise<Answer<'POST /v1/passkeys/enrol/finish'>> {
  const asked = await call('POST /v1/passkeys/enrol/begin', { body: { name } })
  return call('POST /v1/passkeys/enrol/finish', { body: { challenge: asked.challenge, response: await made(asked) } })
}

/** Asks for a challenge: for a better login (null), or to confirm one act. */
export function beginStepUp(act: Act | null): Promise<StepUpChallenge> {
  return call('POST /v1/step-up/begin', { body: act === null ? {} : { act } })
}

/** Has the passkey answer it. Resolves with the level of the login now, and the proof of the act, good once; null where there was none. */
export async function finishStepUp(asked: StepUpChallenge): Promise<Answer<'POST /v1/step-up/finish'>> {
  return call('POST /v1/step-up/finish', { body: { challenge: asked.challenge, response: await signed(asked) } })
}

async function signed({ publicKey }: Challenge): Promise<Signed> {
  // Sound: the server made these options for this very function.
  const optionsJSON = publicKey as unknown as PublicKeyCredentialRequestOptionsJSON
  return (await answered(() => startAuthentication({ optionsJSON }))) as unknown as Signed
}

async function made({ publicKey }: Challenge): Promise<Made> {
  const optionsJSON = publicKey as unknown as PublicKeyCredentialCreationOptionsJSON
  return (await answered(() => startRegistration({ optionsJSON }))) as unknown as Made
}

/** The browser's own words are for developers, and do not say more than that nothing was signed. */
async function answered<T>(ask: () => Promise<T>): Promise<T> {
  if (!('PublicKeyCredential' in globalThis)) {
    throw new Problem({ code: 'no_passkeys', detail: 'This browser has no passkeys, or not at this address.' })
  }
  try {
    return await ask()
  } catch (error) {
    const known = error instanceof Error && error.name === 'InvalidStateError'
    throw new Problem({
      code: 'passkey_unused',
      detail: known
        ? 'This device has a passkey of yours already.'
        : 'No passkey was used: it was cancelled, took too long, or there is none.',
      hint: known ? null : 'Nothing has been done. Try again.',
    })
  }
}
