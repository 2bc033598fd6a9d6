import { useQuery } from '@tanstack/react-query'
import { Link, useParams, useRouteContext } from '@tanstack/react-router'
import { type Answer, call } from '../api/client.ts'
import { BypassForm } from '../forms/bypass.tsx'
import { DecisionForm } from '../forms/decision.tsx'
import { WithdrawForm } from '../forms/withdraw.tsx'
import { Facts, Page, Section } from '../ui/page.tsx'
import { Age, Badge, Data, Lines, Name, None, When } from '../ui/text.tsx'
import { Fault, Progress } from '../ui/told.tsx'

type Full = Answer<'GET /v1/approvals/{id}'>

export function ApprovalPage() {
  const { id } = useParams({ from: '/inside/approvals/$id' })
  const { data, error, isPending } = useQuery({
    queryKey: ['GET /v1/approvals/{id}', id],
    queryFn: () => call('GET /v1/approvals/{id}', { params: { id } }),
  })
  const above = <Link to="/approvals">All approvals</Link>
  if (isPending) return <Progress>Loading…</Progress>
  if (!data) {
    return (
      <Page title="Approval" above={above}>
        <Fault error={error} />
      </Page>
    )
  }
  return (
    <Page
      above={above}
      title={
        <>
          {data.action} · <Name>{data.subject}</Name>
        </>
      }
    >
      <Approval of={data} />
    </Page>
  )
}

function Approval({ of: it }: { readonly of: Full }) {
  const { me } = useRouteContext({ from: '/inside/approvals/$id' })
  const open = it.state === 'requested' || it.state === 'approved' || it.state === 'bypassed'
  const decided = it.decisions.some(({ by, takenBackAt }) => by === me.id && takenBackAt === null)
  return (
    <>
      <Facts
        of={[
          ['State', <Badge key="state" state={it.state} />],
          ['About', <About key="about" of={it} />],
          ['Asked by', <Name key="by">{`${it.requestedBy.name} (${it.requestedBy.kind})`}</Name>],
          ['Asked', <When key="at" at={it.requestedAt} />],
          it.endedAt === null ? ['Expires', <Age key="ends" at={it.expiresAt} />] : ['Ended', <When key="ended" at={it.endedAt} />],
          ...(it.withdrawnReason === null ? [] : [['Withdrawn', <Name key="why">{it.withdrawnReason}</Name>] as const]),
        ]}
      />
      <GoOn of={it} />
      <AtItsEnd of={it} />
      <Section title="Exactly this is approved" id="what">
        <div className="quote">
          <Lines>{it.words}</Lines>
        </div>
        <details>
          <summary>As data</summary>
          <Data of={it.what} />
        </details>
        <p>
          Digest <code>{it.digest}</code>
        </p>
      </Section>
      <Section title="Who may approve it" id="who">
        <Factors of={it} />
      </Section>
      <Section title="Who has decided" id="decisions">
        <Decisions of={it} />
      </Section>
      {it.waitsForMe ? <DecisionForm of={it} me={me.id} /> : null}
      {it.state === 'requested' && !it.mine && me.may.includes('approval:bypass') ? <BypassForm of={it} me={me.id} /> : null}
      {open && it.mine ? <WithdrawForm of={it} what="withdraw" /> : null}
      {open && decided ? <WithdrawForm of={it} what="take-back" /> : null}
    </>
  )
}

/** The text of a member of what is approved; null where it has none. */
function memberOf({ what }: Full, name: string): string | null {
  const value = typeof what === 'object' && what !== null ? (what as Record<string, unknown>)[name] : null
  return typeof value === 'string' ? value : null
}

/** Leads to the room of what it was asked for. */
function About({ of: it }: { readonly of: Full }) {
  const identity = it.action === 'role:bind' && memberOf(it, 'to') === 'identity' ? memberOf(it, 'subject') : memberOf(it, 'identity')
  const set = memberOf(it, 'set')
  if (identity !== null) {
    return (
      <Link to="/identities/$identity" params={{ identity }}>
        {it.action === 'role:bind' ? 'the identity that gets it' : <Name>{it.subject}</Name>}
      </Link>
    )
  }
  if (set !== null) {
    return (
      <Link to="/policies/$policies" params={{ policies: set }}>
        these policies
      </Link>
    )
  }
  return <Name>{it.subject}</Name>
}

/** For who asked: what to do now that it may be done. Approving has done nothing yet. */
function GoOn({ of: it }: { readonly of: Full }) {
  if (!it.mine || (it.state !== 'approved' && it.state !== 'bypassed')) return null
  const [identity, set, reason] = [memberOf(it, 'identity'), memberOf(it, 'set'), memberOf(it, 'reason')]
  return (
    <Section title="Do it now" id="go-on">
      <p>
        It may be done, once, and is not done yet: ask for the same again
        {reason === null ? '.' : ', with exactly this reason. Any other needs an approval of its own.'} It expires <Age at={it.expiresAt} />
        .
      </p>
      {reason === null ? null : (
        <p className="quote">
          <Name>{reason}</Name>
        </p>
      )}
      {it.action === 'identity:offboard' && identity !== null ? (
        <Link
          to="/identities/$identity/$change"
          params={{ identity, change: 'offboard' }}
          search={{ approval: it.id }}
          className="button grave"
        >
          Offboard <Name>{it.subject}</Name> with this reason…
        </Link>
      ) : it.action === 'policy:approve' && set !== null ? (
        <Link to="/policies/$policies" params={{ policies: set }} className="button">
          Bring them into force…
        </Link>
      ) : (
        <>
          <p>Run the same command again{it.action === 'role:bind' ? ':' : ', with the same options.'}</p>
          <Command of={it} />
        </>
      )}
    </Section>
  )
}

const quoted = (text: string) => `'${text.replaceAll("'", "'\\''")}'`

/** The command that asks for exactly this; nothing where it is too much for a line. */
function Command({ of: it }: { readonly of: Full }) {
  const [role, to, subject, reason] = ['role', 'to', 'subject', 'reason'].map((name) => memberOf(it, name))
  if (it.action !== 'role:bind' || !role || !to || !subject || !reason) return null
  const force = (it.what as { readonly both?: unknown }).both === true ? ' --force' : ''
  return (
    <pre>
      <Lines>{`rekey role bind ${quoted(role)} --to ${quoted(`${to}:${subject}`)} --reason ${quoted(reason)}${force}`}</Lines>
    </pre>
  )
}

const ENDS: Readonly<Record<string, string>> = {
  rejected: 'It was rejected, for the reason below, and is not done. The same may be asked for again: that is a new request.',
  expired: 'It was not approved, or not done, in time. Ask for it again: that is a new request.',
  withdrawn: 'You withdrew it, and it is not done. It may be asked for again: that is a new request.',
  consumed: 'It was done, and this approval is used up.',
}

/** For who asked: what became of it, and where to ask again. */
function AtItsEnd({ of: it }: { readonly of: Full }) {
  const words = ENDS[it.state]
  if (!it.mine || words === undefined) return null
  const [identity, set] = [memberOf(it, 'identity'), memberOf(it, 'set')]
  return (
    <Section title="What you can do now" id="go-on">
      <p>{words}</p>
      {it.state === 'consumed' ? (
        <About of={it} />
      ) : it.action === 'identity:offboard' && identity !== null ? (
        <Link to="/identities/$identity/$change" params={{ identity, change: 'offboard' }}>
          Ask again to offboard <Name>{it.subject}</Name>…
        </Link>
      ) : it.action === 'policy:approve' && set !== null ? (
        <Link to="/policies/$policies" params={{ policies: set }}>
          Go to these policies…
        </Link>
      ) : (
        <Command of={it} />
      )}
    </Section>
  )
}

function Factors({ of: { factors } }: { readonly of: Full }) {
  return (
    <ul className="cards">
      {factors.map(({ team, teamName, count, aal, passkey, lacking, approvers }) => (
        <li key={`${team}${count}${aal}`}>
          <p>
            <strong>
              {count} of <Name>{teamName}</Name>
            </strong>
            , logged in at AAL{aal} or better{passkey ? ', each with a passkey on this digest' : ''}.{' '}
            {lacking === 0 ? <Badge state="approved">complete</Badge> : <Badge state="requested">{`lacks ${lacking}`}</Badge>}
          </p>
          <p className="muted">
            {approvers.map(({ id, name, eligible }, index) => (
              <span key={id}>
                {index === 0 ? '' : ', '}
                <Name>{name}</Name>
                {eligible ? '' : ' (no longer)'}
              </span>
            ))}
          </p>
        </li>
      ))}
    </ul>
  )
}

function Decisions({ of: { decisions, bypass, factors } }: { readonly of: Full }) {
  const { me } = useRouteContext({ from: '/inside/approvals/$id' })
  const names = new Map([[me.id, me.name], ...factors.flatMap(({ approvers }) => approvers.map(({ id, name }) => [id, name] as const))])
  if (decisions.length === 0 && bypass === null) return <p className="muted">Nobody yet.</p>
  return (
    <ul className="cards">
      {bypass === null ? null : (
        <li>
          <Badge state="bypassed" /> by{' '}
          <Link to="/identities/$identity" params={{ identity: bypass.by }}>
            <Name>{names.get(bypass.by) ?? 'somebody who was not asked'}</Name>
          </Link>
          : <Name>{bypass.reason}</Name>
        </li>
      )}
      {decisions.map(({ by, name, decision, reason, aal, passkey, at, takenBackAt, takenBackReason }) => (
        <li key={`${by}${at}`}>
          <p>
            <Badge state={decision === 'approve' ? 'approved' : 'rejected'} /> by <Name>{name}</Name>, <When at={at} />
            {takenBackAt === null ? null : <None> (taken back)</None>}
          </p>
          <p>
            <Name>{reason}</Name>
          </p>
          {takenBackReason === null ? null : (
            <p>
              Taken back: <Name>{takenBackReason}</Name>
            </p>
          )}
          <p className="muted">
            AAL{aal}
            {passkey === null ? '' : ', signed with a passkey'}
          </p>
        </li>
      ))}
    </ul>
  )
}
