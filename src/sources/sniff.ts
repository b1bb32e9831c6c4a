/** Tells an archive of images from a root tree by what a tar begins with. */
import { readTar } from '../archive/tar.ts'
import { plainName } from './archive-file.ts'
import { type Compression, unpacked } from './compression.ts'
import type { SourceOptions } from './source.ts'

/** How much of a file is looked at. */
export const headSize = 65_536

/** What archives of images have at their top: blobs and layers by digest, and the documents that list them. */
const topNames =
  /^(?:(?:sha256:)?[0-9a-f]{64}(?:\.json|\.tar(?:\.gz)?)?|blobs|oci-layout|index\.json|manifest\.json|repositories)$/

/**
 * Whether a tar that begins with `head` is an archive of images. A root tree has something else among its first names; what
 * is no tar at all counts as one, since whoever reads it will say so better.
 */
export async function isImageArchive(
  head: Uint8Array,
  compression: Compression,
  options: Pick<SourceOptions, 'env' | 'signal'>,
): Promise<boolean> {
  const tops: string[] = []
  try {
    const quiet = { ...options, complain: () => undefined }
    for await (const { path } of readTar(unpacked(only(head), compression, quiet))) {
      const name = plainName(path)
      if (name !== undefined) tops.push(name.split('/')[0] ?? '')
    }
  } catch {
    // The head is cut off somewhere: the names that were whole are what there is to go by.
  }
  return tops.length > 0 && tops.every((top) => topNames.test(top))
}

async function* only(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes
}
