/** Bytes through a program that only reads and writes. Node only. */
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { AppError } from '../errors.ts'
import type { SourceOptions } from './source.ts'

/** A program, its arguments (no shell sees them), and what to say where it is not installed. */
export type Program = { name: string; args: string[]; missing: string }

/**
 * What the program makes of the bytes. Fails with `SOURCE_INVALID` when the program fails, as one that ends early can look as
 * if it were done; what it complains of goes to `complain`. Whoever stops reading ends it.
 */
export async function* through(
  { name, args, missing }: Program,
  bytes: AsyncIterable<Uint8Array>,
  { env, signal, complain }: Pick<SourceOptions, 'env' | 'signal' | 'complain'>,
): AsyncGenerator<Uint8Array> {
  const child = spawn(name, args, {
    env: { ...env, LC_ALL: 'C' },
    stdio: ['pipe', 'pipe', 'pipe'],
    ...(signal && { signal }),
  })
  const ended = new Promise<number | null>((resolve, reject) => child.once('error', reject).once('close', resolve))
  let unread: unknown
  const fed = pipeline(Readable.from(bytes, { objectMode: false }), child.stdin).catch((error: unknown) => {
    unread = error
  })
  const complaints = linesOf(child.stderr, complain)
  // Each is awaited below, but not before the last byte: until then a failure must not count as unhandled.
  for (const promise of [ended, complaints]) promise.catch(() => undefined)
  try {
    for await (const chunk of child.stdout) yield chunk
    await complaints
    const code = await ended.catch((cause: unknown) => {
      if (signal?.aborted) throw signal.reason
      throw new AppError('SOURCE_INVALID', missing, { cause })
    })
    // What broke the reading says more than the program, which saw its input end; but one that ends early breaks the pipe.
    if (unread !== undefined && !isBrokenPipe(unread)) throw unread
    if (code !== 0)
      throw new AppError('SOURCE_INVALID', `${name} failed (exit code ${code}): the archive is damaged or cut off`)
    await fed
  } finally {
    child.kill()
  }
}

async function linesOf(stream: Readable, complain: (line: string) => void): Promise<void> {
  for await (const line of createInterface({ input: stream })) complain(line)
}

const isBrokenPipe = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && (error.code === 'EPIPE' || error.code === 'ERR_STREAM_PREMATURE_CLOSE')
