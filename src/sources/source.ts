/**
 * Where images come from: the contract, and the choice of who fulfils it.
 *
 * Sources run in the command line: the credentials of the person who types stay on their machine, and the service never
 * fetches what somebody tells it to.
 */
import type { Digest } from '../blobs/digest.ts'
import { openDockerArchive } from './docker-archive.ts'
import { parseForm } from './form.ts'
import { openOciArchive } from './oci-archive.ts'
import { openOciLayout } from './oci-layout.ts'
import { openPath } from './path.ts'
import { openRegistry } from './registry.ts'
import { openStdin } from './stdin.ts'

/** A layer: one tar, plain or compressed. What is known of it beforehand is checked by whoever reads it. */
export type SourceLayer = {
  /** Digest of the bytes that `open` gives. */
  digest?: Digest
  /** Digest of the uncompressed tar. */
  diffId?: Digest
  /** Bytes that `open` gives. */
  size?: number
  /** The bytes. Fails with `SOURCE_INVALID` when they are not what was promised. Can be opened again, but for stdin's. */
  open(): AsyncIterable<Uint8Array>
}

/** An image, opened: its layers are known, their bytes not yet read. */
export type ImageSource = {
  /** What it is, for people; never with credentials: `docker://docker.io/library/rockylinux:9`. */
  source: string
  /** Digest of its manifest; of a `docker-archive` the image's ID; of a plain tar its own, once it was read to its end. */
  readonly sourceDigest?: Digest | undefined
  /** `linux/arm64`, when one of several was chosen. */
  platform?: string
  /** Labels of its config. */
  labels?: Record<string, string>
  /** How its layers say that something is gone: as OCI layers do, or not at all, because it is one plain root tree. */
  whiteouts: 'oci' | 'none'
  /** Lowest first. */
  layers: SourceLayer[]
  /** Gives files and connections back. */
  close(): Promise<void>
}

/** What a source may use of the world, and what the person asked for. */
export type SourceOptions = {
  env: Record<string, string | undefined>
  /** Where relative paths begin. */
  cwd: string
  stdin: NodeJS.ReadableStream & { isTTY?: boolean }
  /** Ends all reading. */
  signal?: AbortSignal
  /** Hears what programs complain of, line by line. */
  complain(line: string): void
  /** `linux/arm64`, of images that come in several. */
  platform?: string
  /** File with certificates (PEM) of authorities that are trusted besides the system's. */
  ca?: string
  /** Takes any certificate, and HTTP without TLS. */
  insecure?: boolean
  /** File with logins, instead of the usual ones: containers-auth.json(5). */
  authfile?: string
  /** Waits so many milliseconds before the next try. Absent: it really does. */
  pause?: (milliseconds: number) => Promise<void>
}

/**
 * Opens what a text names: `docker://…`, `docker-archive:…`, `oci:…`, `oci-archive:…`, a directory, a file, or `-`. Throws
 * `REQUEST_INVALID` for what is no source, `SOURCE_UNKNOWN` when it is not there, `SOURCE_DENIED` when it must not be read,
 * `SOURCE_UNREACHABLE` when it does not answer, and `SOURCE_INVALID` when it makes no sense.
 */
export async function openSource(text: string, options: SourceOptions): Promise<ImageSource> {
  const form = parseForm(text)
  switch (form.kind) {
    case 'registry':
      return openRegistry(form.reference, options)
    case 'docker-archive':
      return openDockerArchive(form, options)
    case 'oci-archive':
      return openOciArchive(form, options)
    case 'oci':
      return openOciLayout(form, options)
    case 'stdin':
      return openStdin(options)
    case 'path':
      return openPath(form.path, options)
  }
}
