import type { Answer } from '../api/client.ts'

type Status = Answer<'GET /v1/identities/{identity}'>['status']

/** A change of an identity's status. */
export interface StatusChange {
  readonly change: 'suspend' | 'resume' | 'offboard'
  readonly name: string
  readonly from: readonly Status[]
  /** True: it cannot be taken back. */
  readonly grave: boolean
  readonly means: string
}

const CHANGES: readonly StatusChange[] = [
  {
    change: 'suspend',
    name: 'Suspend',
    from: ['active'],
    grave: false,
    means: 'Its sessions and tokens end at once, and its credentials stop working. Resuming gives them back.',
  },
  {
    change: 'resume',
    name: 'Resume',
    from: ['suspended'],
    grave: false,
    means: 'It may log in again, and what was only suspended works again.',
  },
  {
    change: 'offboard',
    name: 'Offboard',
    from: ['active', 'suspended'],
    grave: true,
    means:
      'It ends for good. Each of its credentials is destroyed and proven dead, or rotated where others use it. Nothing gives them back.',
  },
]

/** What can be done to an identity with this status; `NEXT_STATUS` of the record says the same. */
export function changesFrom(status: Status): readonly StatusChange[] {
  return CHANGES.filter(({ from }) => from.includes(status))
}

/** The change that an address names; null if there is none. */
export function changeNamed(name: string): StatusChange | null {
  return CHANGES.find(({ change }) => change === name) ?? null
}
