/** Keeps what was asked for last, as much as a sum of weights allows. */

/** Values by key. */
export type Lru<Value> = {
  /** The value, which now counts as asked for. */
  get(key: string): Value | undefined
  /** Puts a value in, and lets those go that were asked for longest ago until the rest weighs little enough. */
  set(key: string, value: Value): void
  /** The sum of the weights of all that is kept. */
  weight(): number
}

/** What a value holds: things (which several values may share, and which count once) with what each weighs. */
export type Parts = Iterable<readonly [thing: object, weight: number]>

/**
 * An empty store for values that together weigh at most `limit`, besides `own` for each. A thing in several values counts
 * once: the /etc/hosts of ten thousand trees is one array of bytes.
 */
export function lru<Value>(limit: number, parts: (value: Value) => Parts): Lru<Value> {
  const values = new Map<string, Value>()
  const holders = new Map<object, number>()
  let total = 0

  const hold = (value: Value) => {
    for (const [thing, weight] of parts(value)) {
      const count = holders.get(thing) ?? 0
      if (count === 0) total += weight
      holders.set(thing, count + 1)
    }
  }
  const release = (value: Value) => {
    for (const [thing, weight] of parts(value)) {
      const count = holders.get(thing) ?? 0
      if (count > 1) holders.set(thing, count - 1)
      else if (holders.delete(thing)) total -= weight
    }
  }

  return {
    get(key) {
      const value = values.get(key)
      if (value === undefined) return undefined
      values.delete(key)
      values.set(key, value)
      return value
    },
    set(key, value) {
      const before = values.get(key)
      hold(value)
      if (before !== undefined) release(before)
      values.delete(key)
      values.set(key, value)
      for (const [oldest, one] of values) {
        if (total <= limit) break
        values.delete(oldest)
        release(one)
      }
    },
    weight: () => total,
  }
}
