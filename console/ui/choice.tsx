import { wordsOf } from '../util/words.ts'

interface ChoiceProps {
  readonly name: string
  readonly label: string
  readonly of: readonly string[]
  readonly chosen: string | undefined
}

/** One of a few, or any. */
export function Choice({ name, label, of, chosen }: ChoiceProps) {
  return (
    <label>
      {label}
      <select name={name} defaultValue={chosen ?? ''}>
        <option value="">any</option>
        {of.map((one) => (
          <option key={one} value={one}>
            {wordsOf(one)}
          </option>
        ))}
      </select>
    </label>
  )
}
