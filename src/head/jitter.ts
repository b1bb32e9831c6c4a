/** When a head node does by itself what is to be done about once a day. */

/** The longest time after a start before the first time: head nodes that are restarted daily do it too. */
const soon = 3_600_000

/**
 * A function that says how many milliseconds to wait: before the first time less than an hour, then `every`, more or less a
 * tenth, so that head nodes that were started together do not do it together. `random` is from 0 to 1.
 */
export function jittered(every: number, random: () => number = Math.random): () => number {
  let first = true
  return () => {
    const wait = first ? Math.min(every, soon) * (0.1 + 0.9 * random()) : every * (0.9 + 0.2 * random())
    first = false
    return wait
  }
}
