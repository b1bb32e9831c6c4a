/** Images written by hand, as OCI layouts: every document is at hand to be made worse. */
import { createHash } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import type { Digest } from '../../src/blobs/digest.ts'
import type { Member } from '../archive/tar-writer.ts'
import { arm64Image, basics, elf, tarOf } from '../images/small-image.ts'

/** What stands in a descriptor. */
export type Described = { mediaType: string; digest: Digest; size: number } & Record<string, unknown>

export const ociTypes = {
  index: 'application/vnd.oci.image.index.v1+json',
  manifest: 'application/vnd.oci.image.manifest.v1+json',
  config: 'application/vnd.oci.image.config.v1+json',
  gzip: 'application/vnd.oci.image.layer.v1.tar+gzip',
  zstd: 'application/vnd.oci.image.layer.v1.tar+zstd',
  tar: 'application/vnd.oci.image.layer.v1.tar',
}

/** The name of bytes. */
export const digestOf = (bytes: Uint8Array): Digest => `sha256:${createHash('sha256').update(bytes).digest('hex')}`

/** A document as bytes. */
export const json = (value: unknown): Uint8Array<ArrayBuffer> => new TextEncoder().encode(JSON.stringify(value))

/** The two layers of an image for x86_64: a root that boots, and one that changes it. */
export const amd64Layers: Uint8Array<ArrayBuffer>[] = [
  tarOf([...basics, { name: 'etc/motd', data: json('below') }, { name: 'etc/gone', data: json('below') }]),
  tarOf([{ name: 'etc/motd', data: json('above') }, { name: 'etc/.wh.gone' }]),
]

/** The layer of an image for aarch64. */
export const arm64Layers: Uint8Array<ArrayBuffer>[] = [
  tarOf([
    { name: 'bin/sh', mode: 0o755, data: elf(183) },
    { name: 'sbin/init', flag: '2', link: '../bin/sh' },
    { name: 'boot/vmlinuz-6.1.0-18-arm64', data: arm64Image() },
    { name: 'lib/modules/6.1.0-18-arm64', flag: '5', mode: 0o755 },
  ] satisfies Member[]),
]

/** A layout under construction. */
export function layoutIn(folder: string) {
  mkdirSync(join(folder, 'blobs/sha256'), { recursive: true })
  const layout = {
    folder,
    /** Stores bytes as a blob, and describes them. */
    blob(mediaType: string, bytes: Uint8Array, more: Record<string, unknown> = {}): Described {
      const digest = digestOf(bytes)
      writeFileSync(join(folder, 'blobs/sha256', digest.slice(7)), bytes)
      return { mediaType, digest, size: bytes.length, ...more }
    },
    /** Stores layers, a config and a manifest. `worsen` changes what is about to be written. */
    image(
      layers: Uint8Array[],
      {
        architecture = 'amd64',
        labels,
        pack = 'gzip',
        worsen = {},
      }: {
        architecture?: string
        labels?: Record<string, string>
        pack?: 'gzip' | 'zstd' | 'tar'
        worsen?: { config?: (config: Record<string, unknown>) => unknown; manifest?: (manifest: Manifest) => unknown }
      } = {},
    ): Described {
      const described = layers.map((tar) => layout.blob(ociTypes[pack], packed(tar, pack)))
      const config = {
        os: 'linux',
        architecture,
        rootfs: { type: 'layers', diff_ids: layers.map(digestOf) },
        ...(labels && { config: { Labels: labels } }),
      }
      const manifest: Manifest = {
        schemaVersion: 2,
        mediaType: ociTypes.manifest,
        config: layout.blob(ociTypes.config, json(worsen.config ? worsen.config(config) : config)),
        layers: described,
      }
      const bytes = json(worsen.manifest ? worsen.manifest(manifest) : manifest)
      return layout.blob(ociTypes.manifest, bytes, { platform: { os: 'linux', architecture } })
    },
    /** Stores an index. */
    index: (manifests: unknown[]): Described =>
      layout.blob(ociTypes.index, json({ schemaVersion: 2, mediaType: ociTypes.index, manifests })),
    /** Writes what makes it a layout. */
    finish(manifests: unknown[], index: Record<string, unknown> = {}): string {
      writeFileSync(join(folder, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}')
      writeFileSync(join(folder, 'index.json'), json({ schemaVersion: 2, manifests, ...index }))
      return folder
    },
  }
  return layout
}

/** A manifest as it is written. */
export type Manifest = { schemaVersion: number; mediaType: string; config: Described; layers: Described[] } & Record<
  string,
  unknown
>

/** An entry of an index with a name. */
export const named = (name: string, described: Described): Described => ({
  ...described,
  annotations: { 'org.opencontainers.image.ref.name': name },
})

const packed = (tar: Uint8Array, pack: 'gzip' | 'zstd' | 'tar'): Uint8Array =>
  pack === 'gzip' ? gzipSync(tar) : pack === 'zstd' ? zstdCompressSync(tar) : tar
