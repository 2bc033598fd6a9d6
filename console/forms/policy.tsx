import { useMutation, useQueryClient } from '@tanstack/react-query'
import { type Answer, call } from '../api/client.ts'
import { Section } from '../ui/page.tsx'
import { Failure } from '../ui/step-up.tsx'
import { BYPASS_CHARS, ReasonForm } from './reason.tsx'

interface Of {
  readonly of: Pick<Answer<'GET /v1/policies/{id}'>, 'id' | 'digest' | 'proposedByName'>
}

/** What the page shows is what is sent: its digest. If it is another by now, or no longer proposed, the server refuses. */
function useBringing(way: 'approve' | 'bypass', { id, digest }: Of['of']) {
  const queries = useQueryClient()
  return useMutation({
    mutationFn: (reason: string) => call(`POST /v1/policies/{id}/${way}`, { params: { id }, body: { digest, reason } }),
    // Also where it failed: somebody else may have been first, or others were asked.
    onSettled: () => queries.invalidateQueries(),
  })
}

/** Approves proposed policies and brings them into force; where a rule asks for more people, leads to the request. */
export function PolicyApproveForm({ of: it, own }: Of & { readonly own: boolean }) {
  const act = useBringing('approve', it)
  return (
    <Section title={own ? 'Bring them into force' : 'Approve'} id="approve">
      {own ? (
        <p>
          You proposed this: somebody else approves it. Where a rule names who, you can bring it into force here once they have approved.
        </p>
      ) : (
        <p>They come into force at once, for everybody. Where a rule names who approves policies, those people are asked first.</p>
      )}
      <ReasonForm
        submit={own ? 'Bring into force' : 'Approve exactly these texts'}
        busy={act.isPending}
        onSubmit={(reason) => act.mutate(reason)}
      >
        <Failure error={act.error} again={() => act.variables && act.mutate(act.variables)} then="approve these policies" />
      </ReasonForm>
    </Section>
  )
}

/** Brings them into force past everybody who could say no. */
export function PolicyBypassForm({ of: it }: Of) {
  const act = useBringing('bypass', it)
  return (
    <Section title="Bypass the approval" id="bypass">
      <p className="fault">
        Nobody but you{it.proposedByName === null ? '' : ' and who proposed them'} will have looked at these texts. It skips everybody who
        may approve policies. Where a rule names who does, each of them is told, by name and with your reason. It stays on record for ever
        as a bypass and never counts as an approval.
      </p>
      <ReasonForm grave submit="Bypass the approval" atLeast={BYPASS_CHARS} busy={act.isPending} onSubmit={(reason) => act.mutate(reason)}>
        <Failure
          error={act.error}
          again={() => act.variables && act.mutate(act.variables)}
          then="bring these policies into force without approval"
        />
      </ReasonForm>
    </Section>
  )
}
