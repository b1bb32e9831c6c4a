/**
 * Archives of `docker save` and `podman save`: `docker-archive:`. The format is that of Docker's image specification v1.2
 * ("Combined Image JSON + Filesystem Changeset Format"): manifest.json lists images, each with a config and layers.
 */
import { type Digest, digestOf, hexOf } from '../blobs/digest.ts'
import { AppError } from '../errors.ts'
import { type ArchiveFile, plainName } from './archive-file.ts'
import { type OpenedFile, openFile } from './file.ts'
import type { Located } from './form.ts'
import { refuseOther } from './image.ts'
import { fieldsOf, invalid, listAt, parseJson } from './json.ts'
import { parseConfig } from './manifest.ts'
import { parsePlatform } from './platform.ts'
import { parseReference, referenceText } from './reference.ts'
import type { ImageSource, SourceOptions } from './source.ts'

/** What lists the images of such an archive. */
export const dockerList = 'manifest.json'

/** One image of the list. */
type Listed = { config: string; tags: string[]; layers: string[] }

/** Opens an image of an archive; `image` is a name of its list, or `@` and its place there. */
export async function openDockerArchive(located: Located, options: SourceOptions): Promise<ImageSource> {
  const file = await openFile(located.path, options)
  return dockerArchive(file, located, options)
}

/** As {@link openDockerArchive}, of a file that is open; it is closed when this fails. */
export async function dockerArchive(
  file: OpenedFile,
  { path, image }: Located,
  options: SourceOptions,
): Promise<ImageSource> {
  try {
    const what = `docker-archive:${path}`
    const archive = await file.archive()
    if (!archive.has(dockerList))
      throw invalid(what, `has no ${dockerList}: docker save or podman save did not write it`)
    const listed = choose(parseList(await archive.read(dockerList), what), image, what)
    const { bytes, digest } = await configOf(archive, listed, what)
    const config = parseConfig(bytes, listed.layers.length, what)
    refuseOther(config, options.platform === undefined ? undefined : parsePlatform(options.platform), what)
    return {
      source: image === undefined ? what : `${what}:${image}`,
      sourceDigest: digest,
      labels: config.labels,
      whiteouts: 'oci',
      layers: listed.layers.map((name, at) => {
        const diffId = config.diffIds[at]
        return { ...(diffId && { diffId }), size: archive.size(name), open: () => archive.open(name) }
      }),
      close: file.close,
    }
  } catch (error) {
    await file.close()
    throw error
  }
}

/** The config and its digest, which is the image's ID. */
async function configOf(
  archive: ArchiveFile,
  { config }: Listed,
  what: string,
): Promise<{ bytes: Uint8Array<ArrayBuffer>; digest: Digest }> {
  const bytes = await archive.read(config)
  const digest = await digestOf(bytes)
  const [, hex] = /^(?:blobs\/sha256\/|sha256:)?([0-9a-f]{64})(?:\.json)?$/.exec(config) ?? []
  if (hex !== undefined && hex !== hexOf(digest))
    throw invalid(what, `${config} is not what its name says but ${digest}`)
  return { bytes, digest }
}

/** Reads manifest.json. Throws `SOURCE_INVALID`. */
function parseList(bytes: Uint8Array, what: string): Listed[] {
  const name = `${what}: ${dockerList}`
  return listAt({ images: parseJson(bytes, name) }, 'images', name, 1000).map((value, at) => {
    const place = `${name}: [${at}]`
    const fields = fieldsOf(value, place)
    return {
      config: nameOf(fields.Config, `${place}: Config`),
      tags: listAt(fields, 'RepoTags', place, 1000).filter((tag) => typeof tag === 'string'),
      layers: listAt(fields, 'Layers', place, 1000).map((layer, index) => nameOf(layer, `${place}: Layers[${index}]`)),
    }
  })
}

function nameOf(value: unknown, what: string): string {
  const name = typeof value === 'string' ? plainName(value) : undefined
  if (name === undefined) throw invalid(what, 'names no file of the archive')
  return name
}

/** The image that is wanted: the only one, or the one of a name or a place. */
function choose(list: Listed[], image: string | undefined, what: string): Listed {
  const [only, ...others] = list
  if (!only) throw invalid(what, 'has no image')
  if (image === undefined && others.length === 0) return only
  const found = image === undefined ? undefined : at(list, image)
  if (found) return found
  const there = list.map(({ tags }, place) => tags[0] ?? `@${place}`).slice(0, 20)
  const fault = image === undefined ? `has ${list.length} images` : `has no image ${image}`
  throw new AppError('SOURCE_UNKNOWN', `${what} ${fault}: name one as ${what}:IMAGE (${there.join(', ')})`)
}

function at(list: Listed[], image: string): Listed | undefined {
  const [, place] = /^@([0-9]{1,4})$/.exec(image) ?? []
  if (place !== undefined) return list[Number(place)]
  const wanted = [image, referenceText(parseReference(image))]
  return list.find(({ tags }) => tags.some((tag) => wanted.includes(tag)))
}
