/** Before an edit: what would change, and the question. */
import { createInterface } from 'node:readline/promises'
import { CommanderError } from 'commander'
import { type Change, diffLines } from './diff.ts'
import type { Part } from './io.ts'
import { type Session, show, usageError } from './session.ts'

/**
 * Shows a dry run's changes and asks. True to go on; false, having said so, when nothing would change. With --json the
 * diff goes to stderr, so that stdout stays a document. Throws (exit 1) when the answer is no.
 */
export async function confirmChanges(
  session: Session,
  plan: { changes?: readonly Change[] | undefined },
  question: (count: number) => string,
): Promise<boolean> {
  const real = (plan.changes ?? []).filter((change) => JSON.stringify(change.before) !== JSON.stringify(change.after))
  if (real.length === 0) {
    show(session, plan, () => ['nothing to change'])
    return false
  }
  await confirm(session, diffLines(real), question(real.length))
  return true
}

/** Shows what would happen and asks. Throws when the answer is not yes, and (exit 2) when there is nobody to ask. */
export async function confirm(session: Session, lines: readonly Part[][], question: string): Promise<void> {
  const { json, out, err, yes, io } = session
  const { line } = json ? err : out
  for (const parts of lines) line(...parts)
  if (yes) return
  if (!io.stdin.isTTY) throw usageError('there is no terminal to ask on: use -y to apply this without a question')
  // Not as a terminal: the terminal then keeps its own line editing, and Ctrl-C reaches the process.
  const asking = createInterface({ input: io.stdin, terminal: false })
  try {
    io.stderr.write(`${question} [y/N] `)
    const answer = await new Promise<string>((resolve, reject) => {
      asking.once('line', resolve)
      asking.once('close', () => resolve('\n'))
      io.signal?.addEventListener('abort', () => reject(io.signal?.reason), { once: true })
    })
    if (answer === '\n') io.stderr.write(answer)
    if (!/^y(?:es)?$/i.test(answer.trim())) {
      throw new CommanderError(1, 'muster.declined', 'nothing was changed')
    }
  } finally {
    asking.close()
  }
}

/** Routes that can be tried answer a thing, or to a dry run what would change: this is the latter. */
export function dryRun<Document extends object>(document: Document): { changes?: Change[] } {
  return 'changes' in document ? (document as { changes: Change[] }) : {}
}

/** `1 node`, `2 nodes`. */
export const counted = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? '' : 's'}`
