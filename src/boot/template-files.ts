/** Files that templates include: of images, by the image's digest, and of the head node's folder. */
import type { Digest } from '../blobs/digest.ts'
import { AppError } from '../errors.ts'
import { fillFrom } from '../images/contents.ts'
import { fileAt } from '../images/files.ts'
import type { OpenedImage } from '../images/opened-image.ts'
import type { Services } from '../services.ts'
import { lru } from './lru.ts'
import { singleFlight } from './single-flight.ts'

/** A file's bytes: `undefined` when there is none. */
export type FileBytes = Uint8Array<ArrayBuffer> | undefined

/** Reads files. */
export type TemplateFiles = {
  /** A file of an image, links followed in the image. Throws `UNSUPPORTED` where images cannot be read, `TEMPLATE_INVALID` for a huge one. */
  ofImage(image: Digest, path: string): Promise<FileBytes>
  /** A file of the head node's folder, as it was a second ago at most; the same object as long as it says the same. */
  ofHead(path: string): Promise<FileBytes>
}

/** No account file or key is larger, and everything that is included is held in memory. */
const largest = 16 * 1024 * 1024
/** Bytes of files that are kept, of each kind. */
const mostKept = 32 * 1024 * 1024
/** What a kept file costs besides its bytes. */
const perFile = 300
const millisecondsBetweenReads = 1000

type HeadFile = { bytes: FileBytes; at: number }

/** Files of these services. */
export function templateFiles({
  openImage,
  headFile,
  now,
}: Pick<Services, 'openImage' | 'headFile' | 'now'>): TemplateFiles {
  const weigh = (file: { bytes: FileBytes }) => [[file, perFile + (file.bytes?.length ?? 0)] as const]
  const ofImages = lru<{ bytes: FileBytes }>(mostKept, weigh)
  const ofHead = lru<HeadFile>(mostKept, weigh)
  const once = singleFlight<FileBytes>()

  const readHead = async (path: string): Promise<FileBytes> => {
    const at = now().getTime()
    const known = ofHead.get(path)
    // A clock that was set back counts as time gone by.
    if (known && Math.abs(at - known.at) < millisecondsBetweenReads) return known.bytes
    const read = await headFile?.(path)
    const bytes = read && known?.bytes && sameBytes(read, known.bytes) ? known.bytes : read
    ofHead.set(path, { bytes, at })
    return bytes
  }

  return {
    ofImage: (image, path) => {
      const key = `${image} ${path}`
      const known = ofImages.get(key)
      if (known) return Promise.resolve(known.bytes)
      return once(key, async () => {
        if (!openImage)
          throw new AppError('UNSUPPORTED', `files of images (${path}) cannot be read here: render on a head node`)
        const bytes = await readImageFile(await openImage(image), path)
        ofImages.set(key, { bytes })
        return bytes
      })
    },
    ofHead: (path) => once(`head ${path}`, () => readHead(path)),
  }
}

async function readImageFile({ tree, contents }: OpenedImage, path: string): Promise<FileBytes> {
  const file = existing(() => fileAt(tree, path))
  if (!file) return undefined
  if (file.size > largest)
    throw new AppError('TEMPLATE_INVALID', `${path} of the image has ${file.size} bytes, more than a template includes`)
  const bytes = new Uint8Array(file.size)
  await fillFrom(contents, file, bytes)
  return bytes
}

/** Only what the tree says is not there is absent; that it cannot be read passes as it is. */
function existing<T>(find: () => T): T | undefined {
  try {
    return find()
  } catch (error) {
    if (error instanceof AppError && error.code === 'FILE_UNKNOWN') return undefined
    throw error
  }
}

const sameBytes = (one: Uint8Array, other: Uint8Array): boolean =>
  one.length === other.length && one.every((byte, at) => byte === other[at])
