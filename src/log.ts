/** One line for the operator: a level, a sentence, and facts by name. Entries decide where it goes. */
export type Log = (level: 'info' | 'warn' | 'error', message: string, facts?: Record<string, unknown>) => void
