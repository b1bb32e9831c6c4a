/** Revisions of one thing, as text. Pure. */
import { type Change, diffLines } from './diff.ts'
import type { Part } from './io.ts'
import { timeText } from './table.ts'

/** A revision as the API answers it, with what it changed. */
export type Revision = { id: number; at: string; author: string; message: string; changes: Change[] }

/** A line for each revision, then what it changed of the thing. */
export const historyLines = (revisions: readonly Revision[]): Part[][] =>
  revisions.flatMap(({ id, at, author, message, changes }) => [
    [{ text: `revision ${id}`, look: 'yellow' }, `  ${timeText(at)}  ${author}${message && `  ${message}`}`],
    ...diffLines(changes).map((line): Part[] => ['  ', ...line]),
  ])
