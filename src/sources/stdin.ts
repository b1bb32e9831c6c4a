/** What comes out of a pipe: a root tar, or what `podman save` and `docker save` write. Node only. */
import { AppError } from '../errors.ts'
import { compressionOf, unpacked } from './compression.ts'
import { spooledFile } from './file.ts'
import { imageArchive } from './path.ts'
import { rootTar } from './root-tar.ts'
import { headSize, isImageArchive } from './sniff.ts'
import type { ImageSource, SourceOptions } from './source.ts'

/** Opens stdin. A root tar is passed on as it comes; an archive of images goes into a temporary file first. */
export async function openStdin(options: SourceOptions): Promise<ImageSource> {
  const { stdin, signal } = options
  if (stdin.isTTY) throw new AppError('REQUEST_INVALID', 'there is nothing on stdin: pipe a tar into it')
  const chunks = chunksOf(stdin)
  const { head, whole } = await beginning(chunks)
  signal?.throwIfAborted()
  const compression = compressionOf(head)
  if (await isImageArchive(head, compression, options)) {
    const file = await spooledFile(unpacked(whole, compression, options), 'stdin', options)
    return imageArchive(file, '-', options).catch(async (error: unknown) => {
      await file.close()
      throw error
    })
  }
  const close = async () => void (await chunks.return(undefined))
  let opened = false
  const bytes = () => {
    if (opened) throw new AppError('SOURCE_UNKNOWN', 'stdin can be read only once: put it into a file first')
    opened = true
    return whole
  }
  return rootTar({ source: '-', compression, bytes, close }, options)
}

async function* chunksOf(stream: NodeJS.ReadableStream): AsyncGenerator<Uint8Array> {
  for await (const chunk of stream) yield typeof chunk === 'string' ? new TextEncoder().encode(chunk) : chunk
}

/** The first {@link headSize} bytes, or all there are, and everything from the beginning on. */
async function beginning(
  chunks: AsyncGenerator<Uint8Array>,
): Promise<{ head: Uint8Array; whole: AsyncGenerator<Uint8Array> }> {
  const first: Uint8Array[] = []
  let size = 0
  while (size < headSize) {
    const next = await chunks.next()
    if (next.done) break
    first.push(next.value)
    size += next.value.length
  }
  const head = new Uint8Array(size)
  let at = 0
  for (const chunk of first) {
    head.set(chunk, at)
    at += chunk.length
  }
  return { head: head.subarray(0, headSize), whole: continued(head, chunks) }
}

async function* continued(head: Uint8Array, chunks: AsyncGenerator<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    if (head.length > 0) yield head
    for (let next = await chunks.next(); !next.done; next = await chunks.next()) yield next.value
  } finally {
    await chunks.return(undefined)
  }
}
