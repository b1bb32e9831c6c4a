/**
 * Sightings: which of the machines that nobody knows are written down, so that no flood of invented MACs costs more than
 * its answers. Nothing is lost by it: an unknown machine asks again every half minute until it is known.
 */

/** Machines that are new to this process and are written down at once; then so many a second. */
const burst = 2_000
const perSecond = 50
/** A machine that was written down is left alone for so long. */
const restMilliseconds = 10_000
/** Machines whose rest is remembered. */
const mostKept = 10_000

/** A function that tells whether a sighting at a time (ms) is to be written down. Bounded work and memory. */
export function createSightings(): (mac: string, at: number) => boolean {
  // A Map keeps its keys in the order of insertion, so its first key is the oldest.
  const written = new Map<string, number>()
  let room = burst
  let filledAt = 0
  return (mac, at) => {
    const before = written.get(mac)
    if (before !== undefined && at - before < restMilliseconds) return false
    room = Math.min(burst, room + (Math.max(0, at - filledAt) / 1000) * perSecond)
    filledAt = at
    if (room < 1) return false
    room -= 1
    written.delete(mac)
    written.set(mac, at)
    const oldest = written.keys().next()
    if (written.size > mostKept && !oldest.done) written.delete(oldest.value)
    return true
  }
}
