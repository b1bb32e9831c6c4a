/** A queue of one: work waits until the work before it has ended, well or badly. */

/** Makes a queue. What it returns runs `work` after everything that was given to it earlier, and answers as it does. */
export function exclusiveQueue(): <T>(work: () => Promise<T>) => Promise<T> {
  let last: Promise<unknown> = Promise.resolve()
  return (work) => {
    const result = last.then(work, work)
    last = result.catch(() => undefined)
    return result
  }
}
