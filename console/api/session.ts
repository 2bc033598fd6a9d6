import { queryOptions } from '@tanstack/react-query'
import { type Answer, call, Problem } from './client.ts'

/** Who is logged in. */
export type Me = Answer<'GET /v1/session'>

/** Who is logged in; null if nobody is. */
export const sessionQuery = queryOptions({
  queryKey: ['GET /v1/session'],
  queryFn: async (): Promise<Me | null> => {
    try {
      return await call('GET /v1/session')
    } catch (error) {
      if (error instanceof Problem && error.code === 'unauthenticated') return null
      throw error
    }
  },
  staleTime: 60_000,
})
