/** Keeps the versions that were opened last, because opening reads a whole index and a tree takes memory. */
import type { Digest } from '../blobs/digest.ts'
import type { OpenedImage } from './opened-image.ts'

/**
 * The same function, which opens a version once while it is among the last `most`. Callers that ask at once wait for one
 * opening; a failure is not remembered. A caller may use what it got after it was forgotten here.
 */
export function openedImages(
  open: (digest: Digest) => Promise<OpenedImage>,
  most = 2,
): (digest: Digest) => Promise<OpenedImage> {
  const kept = new Map<Digest, Promise<OpenedImage>>()
  return (digest) => {
    const opened = kept.get(digest) ?? open(digest)
    kept.delete(digest)
    kept.set(digest, opened)
    opened.catch(() => {
      if (kept.get(digest) === opened) kept.delete(digest)
    })
    for (const oldest of kept.keys()) {
      if (kept.size <= most) break
      kept.delete(oldest)
    }
    return opened
  }
}
