/** A body that is watched while it is read, and that can be given up from outside. */
import type { Bytes } from '../blobs/store.ts'
import { AppError } from '../errors.ts'

/**
 * The chunks of a body. Each is counted as it comes. When the signal is aborted, also while the body stalls, it throws the
 * signal's reason; when the body breaks off, `REQUEST_INVALID`: that is nobody's fault here. The body is let go of in every
 * case. `what` names it.
 */
export async function* attended(
  body: Bytes,
  what: string,
  signal: AbortSignal,
  count: (bytes: number) => void,
): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  const reader = body.getReader()
  const brokenOff = (cause: unknown): never => {
    signal.throwIfAborted()
    throw new AppError('REQUEST_INVALID', `${what} broke off before its end: send it again`, { cause })
  }
  // What a body says when it is let go of concerns nobody any more.
  const letGo = () => void reader.cancel(signal.reason).catch(() => {})
  signal.addEventListener('abort', letGo, { once: true })
  try {
    for (;;) {
      signal.throwIfAborted()
      const { done, value } = await reader.read().catch(brokenOff)
      signal.throwIfAborted()
      if (done) return
      count(value.length)
      yield value
    }
  } finally {
    signal.removeEventListener('abort', letGo)
    letGo()
  }
}
