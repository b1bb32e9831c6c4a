/** Presence: which attempt is being made at an address, so that a download there can be told to belong to it. */

/** What was last seen where. A guess good enough for a timeline, never for a permission: addresses can be shared. */
export interface Presence {
  /** A script that opened this attempt was served to this address. */
  seen(address: string, attempt: string): void
  /** The attempt whose script was last served to this address, or `undefined`. */
  attemptOf(address: string): string | undefined
}

/** Remembers at most `limit` addresses; the one whose script is oldest makes room. */
export function createPresence(limit: number): Presence {
  // A Map keeps its keys in the order of insertion, so its first key is the oldest.
  const attempts = new Map<string, string>()
  return {
    seen(address, attempt) {
      attempts.delete(address)
      attempts.set(address, attempt)
      const oldest = attempts.keys().next()
      if (attempts.size > limit && !oldest.done) attempts.delete(oldest.value)
    },
    attemptOf: (address) => attempts.get(address),
  }
}
