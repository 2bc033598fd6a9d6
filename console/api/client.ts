import type { Operations } from './generated/schema.ts'

/** The name of an operation, as the OpenAPI document has it: `GET /v1/identities`. */
export type Name = keyof Operations
/** What an operation answers. */
export type Answer<N extends Name> = Operations[N]['answer']
/** What it is given. */
export type Input<N extends Name> = {
  readonly [part in 'params' | 'query' | 'body']?: Operations[N][part]
}

/** What went wrong, as the server tells it (RFC 9457), or that it could not be asked. */
export class Problem extends Error {
  readonly code: string
  readonly hint: string | null
  readonly faults: readonly { readonly message: string; readonly path?: string }[]
  /** The login that is needed (RFC 9470). */
  readonly stepUp: { readonly aal: number; readonly maxAgeSeconds: number | null } | null
  /** The request for approval that waits. */
  readonly approval: string | null

  constructor(body: Partial<Omit<Problem, keyof Error>> & { readonly detail?: string }) {
    super(body.detail ?? 'Rekey did not answer as expected.')
    this.code = body.code ?? 'internal'
    this.hint = body.hint ?? null
    this.faults = body.faults ?? []
    this.stepUp = body.stepUp ?? null
    this.approval = body.approval ?? null
  }
}

/** The one path builder: every value goes into a path or a query encoded. */
export function pathOf(name: Name, { params, query }: Pick<Input<Name>, 'params' | 'query'> = {}): string {
  const given = new Map(Object.entries(params ?? {}).map(([key, value]) => [key, String(value)]))
  const path = name.slice(name.indexOf(' ') + 1).replaceAll(/\{(\w+)\}/g, (_all, key: string) => encodeURIComponent(given.get(key) ?? ''))
  const search = new URLSearchParams()
  for (const [key, value] of Object.entries(query ?? {})) {
    if (value !== undefined && value !== null && value !== '') search.set(key, String(value))
  }
  const text = search.toString()
  return text === '' ? path : `${path}?${text}`
}

/**
 * Asks the server of this page, and nobody else. Throws `Problem`. `key`: the same for a repeat of the same request, so that it is done
 * once however often it is sent.
 */
export async function call<N extends Name>(name: N, input: Input<N> = {}, key: string | null = null): Promise<Answer<N>> {
  const { body } = input
  const answer = await send(pathOf(name, input), {
    method: name.slice(0, name.indexOf(' ')),
    credentials: 'same-origin',
    redirect: 'error',
    headers: {
      // What no page of another origin can send without asking first.
      'x-rekey-request': '1',
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...(key === null ? {} : { 'idempotency-key': key }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  const text = await answer.text()
  const json = /json/.test(answer.headers.get('content-type') ?? '') && text !== '' ? JSON.parse(text) : undefined
  if (!answer.ok) throw new Problem(json ?? {})
  return json as Answer<N>
}

async function send(path: string, init: RequestInit): Promise<Response> {
  try {
    return await fetch(path, init)
  } catch {
    throw new Problem({
      code: 'unavailable',
      detail: 'Rekey could not be reached.',
      hint: 'Whether it was done is not known: look before you repeat it.',
    })
  }
}
