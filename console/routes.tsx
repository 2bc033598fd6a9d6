import { QueryCache, QueryClient } from '@tanstack/react-query'
import { createRootRouteWithContext, createRoute, createRouter, redirect } from '@tanstack/react-router'
import { Problem } from './api/client.ts'
import { sessionQuery } from './api/session.ts'
import { ApprovalPage } from './pages/approval.tsx'
import { ApprovalsPage, approvalsSearch } from './pages/approvals.tsx'
import { CallbackPage } from './pages/callback.tsx'
import { EnrolPage } from './pages/enrol.tsx'
import { FindingsPage, findingsSearch } from './pages/findings.tsx'
import { IdentitiesPage, identitiesSearch } from './pages/identities.tsx'
import { IdentityPage } from './pages/identity.tsx'
import { ChangePage, changeSearch } from './pages/identity-change.tsx'
import { LoginPage } from './pages/login.tsx'
import { MePage } from './pages/me.tsx'
import { PoliciesPage } from './pages/policies.tsx'
import { PolicySetPage } from './pages/policy-set.tsx'
import { UsablePage, usableSearch } from './pages/usable.tsx'
import { FailedPage, NowherePage } from './pages/wrong.tsx'
import { Bare, Shell } from './ui/shell.tsx'
import { safePath } from './util/path.ts'

/** What the pages have fetched. A page that lost its session goes to the login. */
export const queries = new QueryClient({
  queryCache: new QueryCache({ onError: (error) => noteSession(error) }),
  defaultOptions: { queries: { retry: 0, staleTime: 5_000, refetchOnWindowFocus: true } },
})

function noteSession(error: unknown): void {
  if (!(error instanceof Problem) || error.code !== 'unauthenticated') return
  queries.setQueryData(sessionQuery.queryKey, null)
  void router.invalidate()
}

const root = createRootRouteWithContext<{ readonly queries: QueryClient }>()({})

/** What is open to everybody. */
const bare = createRoute({ getParentRoute: () => root, id: 'bare', component: Bare })
const nextOf = (search: Record<string, unknown>) => (search.next === undefined ? {} : { next: safePath(search.next) })

const login = createRoute({ getParentRoute: () => bare, path: '/login', component: LoginPage, validateSearch: nextOf })
const enrol = createRoute({ getParentRoute: () => bare, path: '/enrol', component: EnrolPage })
const callback = createRoute({ getParentRoute: () => bare, path: '/login/callback/$provider', component: CallbackPage })

/** What needs a login. */
const inside = createRoute({
  getParentRoute: () => root,
  id: 'inside',
  component: Shell,
  beforeLoad: async ({ context, location }) => {
    const me = await context.queries.ensureQueryData(sessionQuery)
    if (me === null) throw redirect({ to: '/login', search: { next: location.href } })
    return { me }
  },
})
const home = createRoute({
  getParentRoute: () => inside,
  path: '/',
  beforeLoad: ({ context: { me } }) => {
    // Of one's own business there is always something to see.
    throw redirect({ to: me.may.includes('identity:read') ? '/identities' : '/approvals' })
  },
})
const me = createRoute({ getParentRoute: () => inside, path: '/me', component: MePage })
const approvals = createRoute({
  getParentRoute: () => inside,
  path: '/approvals',
  component: ApprovalsPage,
  validateSearch: approvalsSearch,
})
const approval = createRoute({ getParentRoute: () => inside, path: '/approvals/$id', component: ApprovalPage })
const identities = createRoute({
  getParentRoute: () => inside,
  path: '/identities',
  component: IdentitiesPage,
  validateSearch: identitiesSearch,
})
const identity = createRoute({ getParentRoute: () => inside, path: '/identities/$identity', component: IdentityPage })
const change = createRoute({
  getParentRoute: () => inside,
  path: '/identities/$identity/$change',
  component: ChangePage,
  validateSearch: changeSearch,
})

const findings = createRoute({ getParentRoute: () => inside, path: '/findings', component: FindingsPage, validateSearch: findingsSearch })
const usable = createRoute({ getParentRoute: () => inside, path: '/usable', component: UsablePage, validateSearch: usableSearch })

const policySets = createRoute({ getParentRoute: () => inside, path: '/policies', component: PoliciesPage })
const policySet = createRoute({ getParentRoute: () => inside, path: '/policies/$policies', component: PolicySetPage })

/** Every room. `ROOMS` of the server has the same paths. */
export const router = createRouter({
  routeTree: root.addChildren([
    bare.addChildren([login, callback, enrol]),
    inside.addChildren([home, me, approvals, approval, identities, identity, change, findings, usable, policySets, policySet]),
  ]),
  context: { queries },
  defaultNotFoundComponent: NowherePage,
  defaultErrorComponent: FailedPage,
  scrollRestoration: true,
})

declare module '@tanstack/react-router' {
  interface Register {
    router: typeof router
  }
}
