/** Work that several ask for at the same time is done once for all of them. */

/** A function that does the work of a key, or waits for the one who does it already. A failure is everybody's who waits. */
export function singleFlight<T>(): (key: string, work: () => Promise<T>) => Promise<T> {
  const running = new Map<string, Promise<T>>()
  return (key, work) => {
    const known = running.get(key)
    if (known) return known
    const started = work().finally(() => running.delete(key))
    running.set(key, started)
    return started
  }
}
