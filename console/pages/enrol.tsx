import { useMutation } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'
import { type FormEvent, useId, useState } from 'react'
import { useEntered } from '../api/entered.ts'
import { enrolByCode } from '../api/passkey.ts'
import { Page } from '../ui/page.tsx'
import { Fault } from '../ui/told.tsx'
import { forgetCode, readCode } from '../util/code.ts'
import { OtherName } from './login.tsx'

export function EnrolPage() {
  const [code, setCode] = useState(readCode)
  const [name, setName] = useState('')
  const id = useId()
  const enter = useEntered()
  const enrol = useMutation({
    mutationFn: () => enrolByCode(code.trim(), name.trim()),
    onSuccess: () => {
      forgetCode()
      enter('/')
    },
  })
  const send = (event: FormEvent) => {
    event.preventDefault()
    if (!enrol.isPending) enrol.mutate()
  }
  return (
    <Page title="Enrol a passkey">
      <p>The code is good once. Your passkey takes its place.</p>
      <form className="stack" onSubmit={send}>
        <label htmlFor={`${id}-code`}>Enrolment code</label>
        <input
          id={`${id}-code`}
          required
          autoComplete="off"
          autoCapitalize="off"
          spellCheck={false}
          value={code}
          onChange={(event) => setCode(event.target.value)}
        />
        <label htmlFor={`${id}-name`}>Name of the passkey</label>
        <input
          id={`${id}-name`}
          required
          maxLength={60}
          autoComplete="off"
          placeholder="laptop, security key …"
          value={name}
          onChange={(event) => setName(event.target.value)}
        />
        <Fault error={enrol.error} />
        <button type="submit" className="main" disabled={enrol.isPending}>
          {enrol.isPending ? 'Waiting for the passkey…' : 'Enrol'}
        </button>
      </form>
      <p>
        <Link to="/login">Back to the login</Link>
      </p>
      <OtherName />
    </Page>
  )
}
