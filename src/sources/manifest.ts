/**
 * Manifests, indexes and configs of images, read from what others wrote. Pure. Formats: OCI image spec (manifest.md,
 * image-index.md, config.md, descriptor.md) and Docker's Image Manifest Version 2, Schema 2. What could be read in two ways
 * is refused, as two readers would then see two images (CVE-2021-41190).
 */
import type { Digest } from '../blobs/digest.ts'
import {
  digestFrom,
  type Fields,
  fieldsOf,
  invalid,
  listAt,
  mostDocument,
  parseJson,
  sizeAt,
  textAt,
  textsAt,
} from './json.ts'
import { normal, type Platform } from './platform.ts'

/** A blob that a document refers to. */
export type Descriptor = {
  mediaType: string
  digest: Digest
  /** Bytes. */
  size: number
  platform?: Platform
  annotations: Record<string, string>
}

/** One image, or a list of them. */
export type Manifest =
  | { kind: 'index'; manifests: Descriptor[] }
  | { kind: 'image'; config: Descriptor; layers: Descriptor[] }

/** What a config says, as far as an import goes. */
export type Config = { platform?: Platform; diffIds: Digest[]; labels: Record<string, string> }

const indexTypes = [
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
]
const imageTypes = [
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.v2+json',
]
const configTypes = ['application/vnd.oci.image.config.v1+json', 'application/vnd.docker.container.image.v1+json']

/** Every kind of manifest that is read here: what a registry is told to send. */
export const manifestTypes: readonly string[] = [...indexTypes, ...imageTypes]

/** As many as an import takes: overlayfs, and so every builder, ends at 127. */
const mostLayers = 500
/** More than there are platforms. */
const mostManifests = 1000

/**
 * Reads a manifest or an index. `mediaType` is what brought it here says that it is, if it does. Throws `SOURCE_INVALID`
 * when that, the document's own word and its contents do not agree.
 */
export function parseManifest(bytes: Uint8Array, mediaType: string | undefined, what: string): Manifest {
  const fields = fieldsOf(parseJson(bytes, what), what)
  const own = textAt(fields, 'mediaType', what)
  if (fields.schemaVersion === 1 || [own, mediaType].some((type) => type?.includes('distribution.manifest.v1+'))) {
    const way = 'push the image again with a tool of this decade (skopeo copy does)'
    throw invalid(what, `is a manifest of Docker's schema 1, which no longer names what it holds: ${way}`)
  }
  if (fields.schemaVersion !== 2) throw invalid(what, 'schemaVersion is not 2')
  const given = mediaType !== undefined && manifestTypes.includes(mediaType) ? mediaType : undefined
  if (own !== undefined && given !== undefined && own !== given)
    throw invalid(what, `calls itself ${own} but is sent as ${given}`)
  const type = own ?? given
  const [isIndex, isImage] = [Object.hasOwn(fields, 'manifests'), Object.hasOwn(fields, 'layers')]
  if (isIndex === isImage)
    throw invalid(what, isIndex ? 'has manifests and layers' : 'has neither manifests nor layers')
  if (type !== undefined && !manifestTypes.includes(type)) throw invalid(what, `is no image but ${type}`)
  if (type !== undefined && isIndex !== indexTypes.includes(type))
    throw invalid(what, `calls itself ${type} and is not`)
  return isIndex ? parseIndex(fields, what) : parseImage(fields, what)
}

function parseIndex(fields: Fields, what: string): Manifest {
  if (Object.hasOwn(fields, 'config')) throw invalid(what, 'has manifests and a config')
  const manifests = listAt(fields, 'manifests', what, mostManifests)
  return { kind: 'index', manifests: manifests.map((one, at) => parseDescriptor(one, `${what}: manifests[${at}]`)) }
}

function parseImage(fields: Fields, what: string): Manifest {
  const config = parseDescriptor(fields.config, `${what}: config`)
  if (!configTypes.includes(config.mediaType)) {
    throw invalid(what, `holds no container image: its config is ${config.mediaType.slice(0, 100)}`)
  }
  if (config.size > mostDocument)
    throw invalid(what, `its config has ${config.size} bytes (the limit is ${mostDocument})`)
  const layers = listAt(fields, 'layers', what, mostLayers).map((one, at) => {
    const layer = parseDescriptor(one, `${what}: layers[${at}]`)
    refuseLayer(layer, fieldsOf(one, what), `${what}: layers[${at}]`)
    return layer
  })
  return { kind: 'image', config, layers }
}

const layerTypes =
  /^application\/vnd\.(?:oci\.image\.layer\.v1\.tar(?:\+(?:gzip|zstd))?|docker\.image\.rootfs\.diff\.tar(?:\.(?:gzip|zstd))?)$/

/** Refuses a layer that cannot be read, in the words of what it is. */
function refuseLayer({ mediaType }: Descriptor, fields: Fields, what: string): void {
  if (/nondistributable|foreign/.test(mediaType) || Object.hasOwn(fields, 'urls')) {
    throw invalid(
      what,
      'is kept elsewhere (a foreign layer): what it holds is fetched from nowhere but the image itself',
    )
  }
  if (mediaType.endsWith('+encrypted'))
    throw invalid(what, 'is encrypted: decrypt it first (skopeo copy --decryption-key)')
  if (!layerTypes.test(mediaType))
    throw invalid(what, `is no layer of a container image but ${mediaType.slice(0, 100)}`)
}

function parseDescriptor(value: unknown, what: string): Descriptor {
  const fields = fieldsOf(value, what)
  const mediaType = textAt(fields, 'mediaType', what)
  if (mediaType === undefined) throw invalid(what, 'has no mediaType')
  const platform = platformOf(fields.platform, what)
  return {
    mediaType,
    digest: digestFrom(fields.digest, `${what}: digest`),
    size: sizeAt(fields, 'size', what),
    ...(platform && { platform }),
    annotations: textsAt(fields, 'annotations', what),
  }
}

/** A platform, of a descriptor or a config; `undefined` when it is not said. */
function platformOf(value: unknown, what: string): Platform | undefined {
  if (value === undefined || value === null) return undefined
  const fields = fieldsOf(value, `${what}: platform`)
  const [os, architecture] = [textAt(fields, 'os', what), textAt(fields, 'architecture', what)]
  const variant = textAt(fields, 'variant', what)
  if (os === undefined || architecture === undefined) return undefined
  return normal({ os, architecture, ...(variant !== undefined && { variant }) })
}

/** Reads a config. Throws `SOURCE_INVALID`, also when it does not speak of exactly `layers` layers. */
export function parseConfig(bytes: Uint8Array, layers: number, what: string): Config {
  const fields = fieldsOf(parseJson(bytes, what), what)
  const rootfs = fieldsOf(fields.rootfs, `${what}: rootfs`)
  const diffIds = listAt(rootfs, 'diff_ids', what, mostLayers).map((one, at) =>
    digestFrom(one, `${what}: diff_ids[${at}]`),
  )
  if (diffIds.length !== layers) throw invalid(what, `speaks of ${diffIds.length} layers where there are ${layers}`)
  if (layers === 0) throw invalid(what, 'the image has no layers')
  const platform = platformOf(fields, what)
  const nested = fields.config === undefined || fields.config === null ? {} : fieldsOf(fields.config, `${what}: config`)
  return { ...(platform && { platform }), diffIds, labels: textsAt(nested, 'Labels', what) }
}

/** Whether a descriptor is of a list of images. */
export const isIndex = ({ mediaType }: Descriptor): boolean => indexTypes.includes(mediaType)

/** Whether a descriptor is of an image, not of what belongs to one, such as buildkit's attestations. */
export const isImage = ({ mediaType, platform, annotations }: Descriptor): boolean =>
  imageTypes.includes(mediaType) &&
  platform?.os !== 'unknown' &&
  annotations['vnd.docker.reference.type'] !== 'attestation-manifest'
