/** For tests only: a browser without a screen. It keeps cookies and sends what a page of ours would. */
import type { Answered, TestServer } from '../../testing.ts'

export class Visitor {
  readonly #server: TestServer
  readonly origin: string
  readonly cookies = new Map<string, string>()
  /** What the last answer set, as it was written. */
  setCookies: readonly string[] = []

  constructor(server: TestServer, origin = server.url) {
    this.#server = server
    this.origin = origin
  }

  async send(method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Answered> {
    const cookie = [...this.cookies].map(([name, value]) => `${name}=${value}`).join('; ')
    const ours: Record<string, string> = method === 'GET' ? {} : { origin: this.origin, 'x-rekey-request': '1' }
    const answer = await this.#server.send(method, path, { body, token: null, headers: { ...ours, ...(cookie && { cookie }), ...headers } })
    this.setCookies = answer.headers.getSetCookie()
    for (const line of this.setCookies) {
      const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(line) ?? []
      if (value === '') this.cookies.delete(name)
      else this.cookies.set(name, value)
    }
    return answer
  }

  get(path: string): Promise<Answered> {
    return this.send('GET', path)
  }

  post(path: string, body?: unknown, headers?: Record<string, string>): Promise<Answered> {
    return this.send('POST', path, body, headers)
  }
}
