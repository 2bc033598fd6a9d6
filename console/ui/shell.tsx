import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { Link, Outlet, useNavigate } from '@tanstack/react-router'
import { call } from '../api/client.ts'
import { sessionQuery } from '../api/session.ts'
import { Name } from './text.tsx'
import { Fault } from './told.tsx'

const ROOMS = [
  { to: '/approvals', name: 'Approvals', needs: null },
  { to: '/identities', name: 'Identities', needs: 'identity:read' },
  { to: '/findings', name: 'Findings', needs: 'finding:read' },
  { to: '/usable', name: 'Usable now', needs: 'usable:read' },
  { to: '/policies', name: 'Policies', needs: 'policy:read' },
] as const

function Skip() {
  return (
    <a className="skip" href="#main">
      Skip to the content
    </a>
  )
}

/** Around the rooms that need no login. */
export function Bare() {
  return (
    <div className="bare">
      <Skip />
      <p className="brand">Rekey</p>
      <main id="main" tabIndex={-1}>
        <Outlet />
      </main>
    </div>
  )
}

/** Around all other rooms: where one can go, who one is, and the way out. */
export function Shell() {
  const { data: me } = useQuery(sessionQuery)
  // A room in which one may read nothing is no place to be sent to; its address says so all the same.
  const rooms = ROOMS.filter(({ needs }) => needs === null || me?.may.includes(needs))
  return (
    <div className="shell">
      <Skip />
      <header>
        <Link to="/" className="brand">
          Rekey
        </Link>
        <nav aria-label="Rooms">
          {rooms.map(({ to, name }) => (
            <Link key={to} to={to} activeOptions={{ includeSearch: false }}>
              {name}
            </Link>
          ))}
        </nav>
        <Who />
      </header>
      <main id="main" tabIndex={-1}>
        <Outlet />
      </main>
    </div>
  )
}

function Who() {
  const { data: me } = useQuery(sessionQuery)
  const queries = useQueryClient()
  const navigate = useNavigate()
  const leave = useMutation({
    mutationFn: () => call('POST /v1/session/end', {}),
    onSuccess: async () => {
      // Nothing of one person is left for the next.
      queries.clear()
      await navigate({ to: '/login' })
    },
  })
  if (!me) return null
  return (
    <div className="who">
      <Link to="/me">
        <Name>{me.name}</Name>
      </Link>
      <span className="muted" title="Assurance level of this login (NIST SP 800-63B)">
        AAL{me.aal}
      </span>
      <button type="button" className="quiet" disabled={leave.isPending} onClick={() => leave.mutate()}>
        Log out
      </button>
      <Fault error={leave.error} />
    </div>
  )
}
