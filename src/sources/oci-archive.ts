/** OCI layouts in a tar: `oci-archive:`, as `podman save --format oci-archive` and `skopeo copy` write them. */
import { type OpenedFile, openFile } from './file.ts'
import type { Located } from './form.ts'
import { imageOfLayout } from './layout.ts'
import type { ImageSource, SourceOptions } from './source.ts'

/** Opens an image of an archive; `image` is its name in the index, or `@` and its place there. */
export async function openOciArchive(located: Located, options: SourceOptions): Promise<ImageSource> {
  return ociArchive(await openFile(located.path, options), located, options)
}

/** As {@link openOciArchive}, of a file that is open; it is closed when this fails. */
export async function ociArchive(
  file: OpenedFile,
  { path, image }: Located,
  options: SourceOptions,
): Promise<ImageSource> {
  try {
    const what = `oci-archive:${path}`
    const archive = await file.archive()
    const found = await imageOfLayout(archive, { what, ...(image !== undefined && { image }) }, options)
    return { source: image === undefined ? what : `${what}:${image}`, whiteouts: 'oci', ...found, close: file.close }
  } catch (error) {
    await file.close()
    throw error
  }
}
