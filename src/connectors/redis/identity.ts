import { factsOf, type ServerIdentity } from '../server.ts'
import { infoValue } from './acl.ts'

/**
 * Redis keeps nothing that names a server: `run_id` and the replication id are made anew at every start. Its folder, port and configuration
 * file stay, but in containers all servers have the same ones: they show that a server is another one, and never that it is the same.
 * @param info the answer to INFO server
 * @param dir the answer to CONFIG GET dir, if it was answered
 */
export function identityOf(info: string, dir: unknown, account: string): ServerIdentity {
  const facts = {
    config_file: infoValue(info, 'config_file'),
    dir: Array.isArray(dir) ? dir[1] : null,
    tcp_port: infoValue(info, 'tcp_port'),
  }
  return { facts: factsOf(facts), run: { id: infoValue(info, 'run_id'), upSeconds: Number(infoValue(info, 'uptime_in_seconds')) }, account }
}
