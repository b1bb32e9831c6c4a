/** How far a long transfer is. */
import type { Printer } from './io.ts'
import { bytesText } from './table.ts'

/** `1.20 GB of 2.00 GB, 85.0 MB/s, 9 s left`; without a known size the bytes and the speed alone. Pure. */
export function progressText({ done, size, seconds }: { done: number; size?: number; seconds: number }): string {
  const speed = seconds > 0 ? done / seconds : 0
  const parts = [size === undefined ? bytesText(done) : `${bytesText(done)} of ${bytesText(size)}`]
  if (speed > 0) parts.push(`${bytesText(Math.round(speed))}/s`)
  if (size !== undefined && speed > 0) parts.push(`${Math.ceil(Math.max(0, size - done) / speed)} s left`)
  return parts.join(', ')
}

/** The same bytes, counted on the way; a terminal sees a line that is written anew at most five times a second. */
export async function* counted(
  bytes: AsyncIterable<Uint8Array>,
  printer: Printer,
  size: number | undefined,
): AsyncGenerator<Uint8Array> {
  const begin = performance.now()
  let done = 0
  let shown = Number.NEGATIVE_INFINITY
  try {
    for await (const chunk of bytes) {
      done += chunk.length
      const now = performance.now()
      if (now - shown >= 200) {
        shown = now
        printer.status(progressText({ done, seconds: (now - begin) / 1000, ...(size !== undefined && { size }) }))
      }
      yield chunk
    }
  } finally {
    printer.status('')
  }
}
