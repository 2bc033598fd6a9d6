import { type QueryClient, useQueryClient } from '@tanstack/react-query'
import { useRouter } from '@tanstack/react-router'
import { sessionQuery } from './session.ts'

/** Goes on after a login, with nothing left of who was there before. */
export function useEntered(): (path: string) => void {
  const queries: QueryClient = useQueryClient()
  const router = useRouter()
  return (path) => {
    queries.removeQueries({ queryKey: sessionQuery.queryKey })
    queries.clear()
    router.history.replace(path)
  }
}
