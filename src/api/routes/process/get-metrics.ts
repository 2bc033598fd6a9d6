import { route } from '../../route.ts'

export const getMetrics = route({
  method: 'GET',
  path: '/metrics',
  summary: 'Figures for Prometheus.',
  action: null,
  answers: { 200: { what: 'Text exposition format 0.0.4', schema: null, type: 'text/plain; version=0.0.4; charset=utf-8' } },
  problems: [],
  handle: async ({ metrics }) => ({ status: 200, text: await metrics() }),
})
