/** For tests only: a provider that speaks SCIM to a real server. */
import type { Answered, TestServer } from '../../testing.ts'

const USER_URN = 'urn:ietf:params:scim:schemas:core:2.0:User'
const GROUP_URN = 'urn:ietf:params:scim:schemas:core:2.0:Group'
export const ENTERPRISE = 'urn:ietf:params:scim:schemas:extension:enterprise:2.0:User'
export const PATCH_URN = 'urn:ietf:params:scim:api:messages:2.0:PatchOp'

type Headers = Record<string, string>

export class Provider {
  readonly server: TestServer
  readonly name: string
  readonly token: string

  private constructor(server: TestServer, name: string, token: string) {
    this.server = server
    this.name = name
    this.token = token
  }

  static async add(server: TestServer, name: string, fields: Record<string, unknown> = {}): Promise<Provider> {
    const answer = await server.post('/v1/scim/providers', { name, ...fields })
    if (answer.status !== 201) throw new Error(`no provider: ${answer.text}`)
    return new Provider(server, name, answer.body.token)
  }

  send(method: string, path: string, body?: unknown, headers: Headers = {}): Promise<Answered> {
    const type: Headers = body === undefined ? {} : { 'content-type': 'application/scim+json' }
    return this.server.send(method, `/scim/v2${path}`, { body, token: this.token, headers: { ...type, ...headers } })
  }

  get(path: string): Promise<Answered> {
    return this.send('GET', path)
  }

  /** A list by filter. */
  find(path: string, filter: string): Promise<Answered> {
    return this.get(`${path}?filter=${encodeURIComponent(filter)}`)
  }

  patch(path: string, ...operations: unknown[]): Promise<Answered> {
    return this.send('PATCH', path, { schemas: [PATCH_URN], Operations: operations })
  }

  /** Made, with its id; throws if it was refused. */
  async user(userName: string, fields: Record<string, unknown> = {}): Promise<string> {
    return made(await this.send('POST', '/Users', { schemas: [USER_URN], userName, ...fields }))
  }

  async group(displayName: string, members: readonly string[] = []): Promise<string> {
    const body = { schemas: [GROUP_URN], displayName, members: members.map((value) => ({ value })) }
    return made(await this.send('POST', '/Groups', body))
  }

  async members(group: string): Promise<string[]> {
    const { body } = await this.get(`/Groups/${group}`)
    return (body.members ?? []).map(({ value }: { value: string }) => value)
  }
}

function made(answer: Answered): string {
  if (answer.status !== 201) throw new Error(`not made: ${answer.text}`)
  return answer.body.id
}
