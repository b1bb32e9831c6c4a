/** Journal: takes what happened at once and writes it soon, many at a time, so that no request waits for a disk. */

import type { Json } from '../registry/settings.ts'
import type { EventKind } from './schema.ts'

/** Something that happened. */
export type Entry =
  | { type: 'attempt'; id: string; node: string; mac: string; at: Date; plan: Json; address?: string }
  | { type: 'event'; attempt: string; at: Date; kind: EventKind; detail: Json }
  | { type: 'ticket'; attempt: string; hash: string }
  | { type: 'ticket-used'; attempt: string; at: Date }
  | { type: 'machine'; mac: string; at: Date; facts: Record<string, string>; address?: string }

/** Takes entries. */
export interface Journal {
  /** Remembers the entry and returns at once. Bounded: when writing cannot keep up, the oldest unwritten are dropped and counted in the log. */
  record(entry: Entry): void
  /** Resolves when everything recorded so far can be read from the database. */
  flush(): Promise<void>
}
