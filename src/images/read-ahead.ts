/**
 * Reads small stretches of files by windows: files that are next to each other in an image mostly are so in its layers, so that
 * one read brings many. Reading each alone costs more than its bytes do.
 */

/** What windows are read from. */
type Source = {
  /** Number of its bytes, which grow no more. */
  size(): number
  /** Fills `target` with the bytes at `offset`. */
  read(target: Uint8Array, offset: number): Promise<void>
}

type Window<S> = { source: S; start: number; end: number; bytes: Promise<Uint8Array<ArrayBuffer>> }

/** Windows begin at multiples of this, and no longer stretch can be asked for. */
export const longestStretch = 2 ** 16
const windowSize = 2 * longestStretch
/** How many windows are kept: 1 MiB. */
const mostWindows = 8

/** A reader of stretches of up to 64 KiB. What it answers may be kept, and must not be written to: others may look at it, too. */
export function createReadAhead<S extends Source>(): (
  source: S,
  offset: number,
  length: number,
) => Promise<Uint8Array<ArrayBuffer>> {
  /** The one used last comes first. */
  const windows: Window<S>[] = []

  function open(source: S, offset: number): Window<S> {
    const start = offset - (offset % longestStretch)
    const end = Math.min(start + windowSize, source.size())
    const bytes = new Uint8Array(Math.max(0, end - start))
    const window = { source, start, end, bytes: source.read(bytes, start).then(() => bytes) }
    // What could not be read may be read later.
    window.bytes.catch(() => remove(window))
    return window
  }

  function remove(window: Window<S>): void {
    const at = windows.indexOf(window)
    if (at >= 0) windows.splice(at, 1)
  }

  return async (source, offset, length) => {
    const found = windows.find((one) => one.source === source && one.start <= offset && offset + length <= one.end)
    const window = found ?? open(source, offset)
    if (window !== windows[0]) {
      remove(window)
      windows.unshift(window)
      windows.length = Math.min(windows.length, mostWindows)
    }
    const bytes = await window.bytes
    return bytes.subarray(offset - window.start, offset - window.start + length)
  }
}
