/** Makes root archives out of imported versions, and remembers them in the registry. Node only. */
import { gzip } from '../archive/gzip.ts'
import { streamOf } from '../archive/stream.ts'
import type { Digest } from '../blobs/digest.ts'
import type { BlobStore } from '../blobs/store.ts'
import { AppError } from '../errors.ts'
import { keepRoot, rootFinder } from '../registry/root-archives.ts'
import type { RegistryDatabase } from '../registry/schema.ts'
import type { CpioRoot } from './manifest.ts'
import type { OpenedImage } from './opened-image.ts'
import { rootArchive, rootWarnings } from './root.ts'
import type { RootArchives } from './root-archives.ts'

/** Boot loaders hand an initrd's size to the kernel in 32 bits (Documentation/arch/x86/boot.rst, ramdisk_size). */
const largestRoot = 2 ** 32 - 1
/** Milliseconds for which a failure is told again rather than repeated: every node of an image asks. */
const failureAge = 60_000

/** How far a making is, and when it failed. */
type Making = { bytes: number; total: number; failedAt?: number }

/** Root archives of these stores. `largest` bounds a compressed archive, in bytes. */
export function createRootArchives({
  registry,
  blobs,
  openImage,
  largest = largestRoot,
}: {
  registry: RegistryDatabase
  blobs: BlobStore
  openImage: (digest: Digest) => Promise<OpenedImage>
  largest?: number
}): RootArchives {
  const find = rootFinder(registry)
  const makings = new Map<Digest, { archive: Promise<CpioRoot>; making: Making }>()
  /** Archives are made one after another: each keeps the cores busy by itself. */
  let turn: Promise<unknown> = Promise.resolve()

  async function make(image: Digest, making: Making): Promise<CpioRoot> {
    const known = await find(image)
    if (known && (await blobs.keep(known.digest))) return known
    const { manifest, tree, contents } = await openImage(image)
    making.total = manifest.unpackedSize
    const warnings = rootWarnings(tree)
    async function* counted() {
      for await (const chunk of rootArchive(tree, contents)) {
        making.bytes += chunk.length
        yield chunk
      }
    }
    const blob = await blobs.add(streamOf(bounded(gzip(counted()), largest)))
    const root: CpioRoot = { ...blob, unpackedSize: making.bytes, warnings }
    await keepRoot(registry, image, root)
    return root
  }

  return {
    find,
    make(image) {
      const known = makings.get(image)
      if (known && !isOld(known.making)) return known.archive
      const making: Making = { bytes: 0, total: 0 }
      const archive = turn.then(() => make(image, making))
      turn = archive.catch(() => undefined)
      makings.set(image, { archive, making })
      archive.then(
        () => makings.delete(image),
        () => {
          making.failedAt = performance.now()
        },
      )
      return archive
    },
    progress(image) {
      const making = makings.get(image)?.making
      return making && making.failedAt === undefined ? { bytes: making.bytes, total: making.total } : undefined
    },
  }
}

const isOld = ({ failedAt }: Making): boolean => failedAt !== undefined && performance.now() - failedAt > failureAge

async function* bounded(source: AsyncIterable<Uint8Array<ArrayBuffer>>, largest: number) {
  let size = 0
  for await (const chunk of source) {
    size += chunk.length
    if (size > largest)
      throw new AppError(
        'IMAGE_UNBOOTABLE',
        `the root archive has more than ${largest} bytes compressed, and no kernel unpacks that: make the image smaller`,
      )
    yield chunk
  }
}
