/** Several things at once, but not all. */

/**
 * What `work` answers for each item, in the order of the items; at most `width` of them are under way. After a failure none
 * is begun any more, and when those under way have ended the first failure is thrown.
 */
export async function inParallel<Item, Result>(
  items: readonly Item[],
  width: number,
  work: (item: Item, at: number) => Promise<Result>,
): Promise<Result[]> {
  const results = new Array<Result>(items.length)
  const rest = items.entries()
  let failed = false
  const lane = async (): Promise<void> => {
    // One iterator for all lanes: each takes the next item that nobody has.
    for (const [at, item] of rest) {
      if (failed) return
      try {
        results[at] = await work(item, at)
      } catch (error) {
        failed = true
        throw error
      }
    }
  }
  const lanes = await Promise.allSettled(Array.from({ length: Math.min(width, items.length) }, lane))
  for (const ended of lanes) if (ended.status === 'rejected') throw ended.reason
  return results
}
