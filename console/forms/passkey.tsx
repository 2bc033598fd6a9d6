import { useMutation, useQueryClient } from '@tanstack/react-query'
import { type FormEvent, useId, useState } from 'react'
import { enrol } from '../api/passkey.ts'
import { Failure } from '../ui/step-up.tsx'
import { Progress } from '../ui/told.tsx'

/** Enrols one more passkey of who is logged in. */
export function PasskeyForm() {
  const [name, setName] = useState('')
  const id = useId()
  const queries = useQueryClient()
  const make = useMutation({
    mutationFn: () => enrol(name.trim()),
    onSuccess: async () => {
      setName('')
      await queries.invalidateQueries({ queryKey: ['GET /v1/passkeys'] })
    },
  })
  const send = (event: FormEvent) => {
    event.preventDefault()
    if (!make.isPending) make.mutate()
  }
  return (
    <form className="stack" onSubmit={send}>
      <label htmlFor={id}>Name of a new passkey</label>
      <input id={id} required maxLength={60} autoComplete="off" value={name} onChange={(event) => setName(event.target.value)} />
      <button type="submit" disabled={make.isPending}>
        {make.isPending ? 'Waiting for the passkey…' : 'Enrol it'}
      </button>
      <Failure error={make.error} again={() => make.mutate()} />
      {make.isSuccess ? (
        <Progress>{make.data.deviceBound ? 'Enrolled. It proves AAL3.' : 'Enrolled. It may be synced, so it proves AAL2.'}</Progress>
      ) : null}
    </form>
  )
}
