import { useMutation } from '@tanstack/react-query'
import { call } from '../api/client.ts'
import { Failure } from '../ui/step-up.tsx'
import { Progress } from '../ui/told.tsx'

/** Begins a session for the command line and shows its text once: it is kept nowhere else. */
export function CommandLineForm() {
  const begin = useMutation({ mutationFn: () => call('POST /v1/session/command-line'), gcTime: 0 })
  return (
    <div className="stack">
      <p>As good as this login, and ended with you. Keep it in a file that only you can read, named by REKEY_TOKEN_FILE.</p>
      <button type="button" disabled={begin.isPending} onClick={() => begin.mutate()}>
        Begin a session for the command line
      </button>
      <Failure error={begin.error} again={() => begin.mutate()} />
      {begin.isSuccess ? (
        <>
          <Progress>Begun. This is shown once:</Progress>
          <code>{begin.data.token}</code>
        </>
      ) : null}
    </div>
  )
}
