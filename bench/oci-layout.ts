/** An OCI layout (image-spec image-layout.md) of layers that are in files. */
import { createHash } from 'node:crypto'
import { link, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { LayerFile } from './rootfs.ts'

/** Writes a layout with one image, tagged `bench`; its gzipped layers are links to the files. Answers the folder. */
export async function writeLayout(folder: string, layers: readonly LayerFile[]): Promise<string> {
  const blobs = join(folder, 'blobs/sha256')
  await mkdir(blobs, { recursive: true })
  for (const { file, digest } of layers) await link(file, join(blobs, digest.slice('sha256:'.length)))

  async function document(type: string, content: object) {
    const text = JSON.stringify(content)
    const hex = createHash('sha256').update(text).digest('hex')
    await writeFile(join(blobs, hex), text)
    return { mediaType: `application/vnd.oci.image.${type}.v1+json`, digest: `sha256:${hex}`, size: text.length }
  }

  const config = await document('config', {
    architecture: 'amd64',
    os: 'linux',
    rootfs: { type: 'layers', diff_ids: layers.map(({ diffId }) => diffId) },
  })
  const manifest = await document('manifest', {
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    config,
    layers: layers.map(({ digest, size }) => ({
      mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip',
      digest,
      size,
    })),
  })
  const named = { ...manifest, annotations: { 'org.opencontainers.image.ref.name': 'bench' } }
  await writeFile(join(folder, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests: [named] }))
  await writeFile(join(folder, 'oci-layout'), JSON.stringify({ imageLayoutVersion: '1.0.0' }))
  return folder
}
