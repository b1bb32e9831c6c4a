/** OCI image layouts (image spec, image-layout.md), wherever they lie: the part that directories and archives have in common. */
import { type Digest, digestOf, hexOf } from '../blobs/digest.ts'
import { AppError } from '../errors.ts'
import type { Located } from './form.ts'
import { type Image, imageOf, type Store } from './image.ts'
import { fieldsOf, invalid, parseJson, textAt } from './json.ts'
import { type Descriptor, parseManifest } from './manifest.ts'
import type { SourceOptions } from './source.ts'

/** The file that says that something is a layout. */
export const layoutMarker = 'oci-layout'

/** Files of a layout, by their names in it. */
export type LayoutFiles = {
  /** A document, within the limits of one. */
  read(name: string): Promise<Uint8Array<ArrayBuffer>>
  open(name: string): AsyncIterable<Uint8Array>
}

/** Annotations that name an image in an index: OCI's own, and containerd's, which docker writes too. */
const names = ['org.opencontainers.image.ref.name', 'io.containerd.image.name']

/** The image of a layout: the only one, or the one of a name, or of a place in its index (`@0`). */
export async function imageOfLayout(
  files: LayoutFiles,
  { image, what }: Pick<Located, 'image'> & { what: string },
  options: Pick<SourceOptions, 'platform'>,
): Promise<Image> {
  const marker = fieldsOf(parseJson(await files.read(layoutMarker), `${what}: ${layoutMarker}`), layoutMarker)
  const version = textAt(marker, 'imageLayoutVersion', what)
  if (!version?.startsWith('1.')) throw invalid(what, `is a layout of version ${version ?? 'none'}, not 1`)
  const bytes = await files.read('index.json')
  const index = parseManifest(bytes, undefined, `${what}: index.json`)
  if (index.kind !== 'index') throw invalid(what, 'index.json is no index')
  const open = ({ digest }: { digest: Digest }) => files.open(`blobs/sha256/${hexOf(digest)}`)
  const store: Store = { what, manifest: open, blob: open }
  const manifests = choose(index.manifests, image, what)
  return imageOf(store, { manifest: { kind: 'index', manifests }, digest: await digestOf(bytes) }, options)
}

/** The entries for one image: several when it was built for several platforms. */
function choose(all: Descriptor[], image: string | undefined, what: string): Descriptor[] {
  if (all.length === 0) throw invalid(what, 'has no image')
  const [, place] = /^@([0-9]{1,4})$/.exec(image ?? '') ?? []
  const found =
    place !== undefined
      ? all.slice(Number(place), Number(place) + 1)
      : all.filter(({ annotations }) => image === undefined || names.some((name) => annotations[name] === image))
  const there = [...new Set(all.map(nameOf))]
  const list = there.map((name, at) => name ?? `@${at}`).slice(0, 20)
  const way = `name one as ${what}:IMAGE (${list.join(', ')})`
  if (found.length === 0) throw new AppError('SOURCE_UNKNOWN', `${what} has no image ${image}: ${way}`)
  if (image === undefined && there.length > 1)
    throw new AppError('SOURCE_UNKNOWN', `${what} has several images: ${way}`)
  return found
}

/** What people call an entry, `undefined` when nobody named it. */
const nameOf = ({ annotations }: Descriptor): string | undefined =>
  names.map((name) => annotations[name]).find((name) => name !== undefined)
