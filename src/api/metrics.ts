import { collectDefaultMetrics, Gauge, Registry } from 'prom-client'
import { STATES } from '../credential/index.ts'
import { isCode } from '../kernel/index.ts'
import type { ApiParts } from './parts.ts'

/** Metrics of one server, in a registry of its own. Figures of the database are read at each scrape, so any process tells the same. */
export function makeMetrics({ figures }: Pick<ApiParts, 'figures'>): { text(): Promise<string>; close(): void } {
  const registers = [new Registry()] as const
  const [registry] = registers
  collectDefaultMetrics({ register: registry })
  const gauge = (name: string, help: string, labelNames: readonly string[] = []) =>
    new Gauge({ name, help, labelNames: [...labelNames], registers: [...registers] })
  const up = gauge('rekey_database_up', '1 if the database answered this scrape; without it the figures below are missing.')
  const rotations = gauge('rekey_rotations', 'Rotations by state.', ['state'])
  const ended = gauge('rekey_rotations_ended', 'Rotations that have ended.')
  const seconds = gauge('rekey_rotation_seconds_sum', 'Seconds from start to end, added up over the ended rotations.')
  const unsequenced = gauge('rekey_evidence_unsequenced', 'Evidence events that are written and not yet in the tree.', ['log'])
  const published = gauge('rekey_evidence_published', 'Events in the newest signed tree.', ['log'])

  async function read(): Promise<void> {
    const [now, logs] = await Promise.all([figures.rotations(), figures.evidence()])
    for (const state of STATES) rotations.set({ state }, now.byState[state] ?? 0)
    ended.set(now.ended)
    seconds.set(now.seconds)
    for (const { log, unsequenced: waiting, checkpoint } of logs) {
      unsequenced.set({ log }, waiting)
      published.set({ log }, checkpoint?.size ?? 0)
    }
    up.set(1)
  }

  return {
    async text() {
      try {
        await read()
      } catch (error) {
        if (!isCode(error, 'unavailable') && !isCode(error, 'database_failed')) throw error
        // Old figures must not pass for new ones.
        for (const each of [rotations, ended, seconds, unsequenced, published]) each.reset()
        for (const each of [ended, seconds]) each.remove()
        up.set(0)
      }
      return registry.metrics()
    },
    close: () => registry.clear(),
  }
}
