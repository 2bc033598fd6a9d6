import { RekeyError } from '../kernel/index.ts'

/** What every connector says of an account that is not there. */
export const NO_ACCOUNT = {
  message: 'The account does not exist on the system.',
  hint: 'Make it there, then run: rekey rotation retry. If its name is wrong: rekey rotation undo, correct the fleet file, rekey apply',
} as const

/** `target_conflict`: the account is not there. */
export function noAccount(): RekeyError {
  return new RekeyError('target_conflict', NO_ACCOUNT.message, { hint: NO_ACCOUNT.hint })
}
