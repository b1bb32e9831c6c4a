/** From a manifest, wherever it lies, to the layers of one image: the part that registries and layouts have in common. */
import type { Digest } from '../blobs/digest.ts'
import { AppError } from '../errors.ts'
import { invalid, mostDocument } from './json.ts'
import {
  type Config,
  type Descriptor,
  isImage,
  isIndex,
  type Manifest,
  parseConfig,
  parseManifest,
} from './manifest.ts'
import { isFor, matching, ownPlatform, type Platform, parsePlatform, platformText } from './platform.ts'
import type { ImageSource, SourceLayer } from './source.ts'
import { collect, verified } from './verified.ts'

/** Where documents and layers are read from. The bytes need not be checked yet. */
export type Store = {
  /** The source's name, for messages. */
  what: string
  /** A manifest, by its digest. */
  manifest(descriptor: Descriptor): AsyncIterable<Uint8Array>
  /** A config or a layer. */
  blob(descriptor: Descriptor): AsyncIterable<Uint8Array>
}

/** An image without its place. */
export type Image = Required<Pick<ImageSource, 'sourceDigest' | 'labels'>> &
  Pick<ImageSource, 'platform'> & { layers: SourceLayer[] }

/** Indexes within indexes: two are in use (a layout's own, and one for many platforms). */
const mostIndexes = 4

/**
 * The image that a manifest is, or the one that is wanted of those in an index. Throws `SOURCE_UNKNOWN` with what there is
 * when none is for the platform.
 */
export async function imageOf(
  store: Store,
  root: { manifest: Manifest; digest: Digest },
  { platform: wished }: { platform?: string },
): Promise<Image> {
  const wanted = wished === undefined ? undefined : parsePlatform(wished)
  let { manifest, digest } = root
  let chosen: Platform | undefined
  for (let depth = 0; manifest.kind === 'index'; depth++) {
    if (depth === mostIndexes)
      throw invalid(store.what, `there are more than ${mostIndexes} indexes within one another`)
    const descriptor = choose(manifest.manifests, wanted, store.what)
    if (manifest.manifests.filter(isImage).length > 1) chosen = descriptor.platform
    const bytes = await whole(store.manifest(descriptor), descriptor, store.what)
    manifest = parseManifest(bytes, descriptor.mediaType, `${store.what}: ${descriptor.digest}`)
    digest = descriptor.digest
  }
  const { config, layers } = manifest
  const found = parseConfig(await whole(store.blob(config), config, store.what), layers.length, `${store.what}: config`)
  refuseOther(found, wanted, store.what)
  return {
    sourceDigest: digest,
    labels: found.labels,
    ...(chosen && { platform: platformText(chosen) }),
    layers: layers.map((layer, at) => layerOf(store, layer, found.diffIds[at])),
  }
}

/** A document's bytes, checked. */
const whole = (bytes: AsyncIterable<Uint8Array>, descriptor: Descriptor, what: string) =>
  collect(verified(bytes, descriptor, what), mostDocument, `${what}: ${descriptor.digest}`)

const layerOf = (store: Store, layer: Descriptor, diffId: Digest | undefined): SourceLayer => ({
  digest: layer.digest,
  ...(diffId && { diffId }),
  size: layer.size,
  open: () => verified(store.blob(layer), layer, store.what),
})

/** The descriptor of the image that is wanted: the only one, else the one for the platform, else this machine's. */
function choose(all: readonly Descriptor[], wanted: Platform | undefined, what: string): Descriptor {
  const found = all.filter((one) => isIndex(one) || isImage(one))
  const [only, ...others] = found
  if (!only) throw invalid(what, 'the index has no image')
  // What is alone need not say what it is for: its config does.
  if (others.length === 0 && (!wanted || !only.platform || isFor(only.platform, wanted))) return only
  const own = ownPlatform(process.arch)
  const match = matching(found, wanted ?? own)
  if (match) return match
  const there = [...new Set(found.map(({ platform }) => (platform ? platformText(platform) : 'one that says nothing')))]
  const way = `there is ${there.join(', ')}: choose with --platform, or name one by its digest`
  throw new AppError('SOURCE_UNKNOWN', `${what}: nothing for ${platformText(wanted ?? own)}; ${way}`)
}

/** Refuses an image that is for another platform than was asked for. */
export function refuseOther({ platform }: Config, wanted: Platform | undefined, what: string): void {
  if (!wanted || !platform || isFor(platform, wanted)) return
  const text = `${what}: nothing for ${platformText(wanted)}; the only image there is for ${platformText(platform)}`
  throw new AppError('SOURCE_UNKNOWN', text)
}
