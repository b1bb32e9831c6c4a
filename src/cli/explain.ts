/** Where settings came from, as text. Pure. */
import { valueText } from './table.ts'

/** One setting as the API explains it. */
export type Explanation = {
  field: string
  value: unknown
  from: string[]
  hidden: { from: string; value: unknown }[]
}

/** Heads of {@link explanationRow}. */
export const explanationHead = ['FIELD', 'VALUE', 'FROM', 'HID'] as const

/** One row: the field, its value, who gave it, and what they hid. */
export const explanationRow = ({ field, value, from, hidden }: Explanation): string[] => [
  field,
  valueText(value),
  from.join(', '),
  hidden.map((past) => `${valueText(past.value)} (${past.from})`).join(', '),
]
