/** The log as lines of text: time, level, message, facts as JSON. journald and files take it as it is. */
import type { Log } from '../log.ts'

const levels = ['error', 'warn', 'info'] as const

/** A log that gives `write` one line for each entry that is at least as grave as `least`. */
export function lineLog(write: (line: string) => void, least: (typeof levels)[number], now = () => new Date()): Log {
  return (level, message, facts) => {
    if (levels.indexOf(level) > levels.indexOf(least)) return
    const told = facts && Object.keys(facts).length > 0 ? ` ${JSON.stringify(facts, plainly)}` : ''
    // One line each, whatever a message quotes.
    write(`${now().toISOString()} ${level} ${JSON.stringify(message).slice(1, -1).replaceAll('\\"', '"')}${told}\n`)
  }
}

/** Errors have no enumerable fields, so JSON would tell nothing of them; big integers it refuses. */
function plainly(_key: string, value: unknown): unknown {
  if (value instanceof Error) return value.stack ?? String(value)
  return typeof value === 'bigint' ? String(value) : value
}
