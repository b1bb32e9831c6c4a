/** How often somebody may do something: so many times at once, and then again after a while each. */

/** Answers whether one more is within the quota. */
export type Quota = {
  /** True when there is one left, which is then taken. `at` is milliseconds of any clock that goes forward. */
  take(who: string, at: number): boolean
}

/** `burst` at once, one more every `pause` milliseconds. Of at most `most` takers; the one that took first is forgotten first. */
export function createQuota({ burst, pause, most }: { burst: number; pause: number; most: number }): Quota {
  // When all of the burst is there again, by taker (the "generic cell rate algorithm" of ITU-T I.371). A Map keeps its
  // keys in the order of insertion.
  const fullAt = new Map<string, number>()
  return {
    take(who, at) {
      const full = Math.max(fullAt.get(who) ?? 0, at)
      if (full - at > (burst - 1) * pause) return false
      fullAt.set(who, full + pause)
      const oldest = fullAt.keys().next()
      if (fullAt.size > most && !oldest.done) fullAt.delete(oldest.value)
      return true
    },
  }
}
