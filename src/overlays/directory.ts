/** Overlays as the directories that they were made of: a pushed version's, or a shipped one's. */
import type { Assets } from '../assets/assets.ts'
import { AppError } from '../errors.ts'
import { findOverlay, listOverlayVersions, type OverlayVersion, overlayFiles } from '../registry/overlays.ts'
import type { RegistryDatabase } from '../registry/schema.ts'
import { lintDirectory, privateSources } from './lint.ts'
import type { SourceFile } from './parse.ts'
import { shippedFiles } from './store.ts'

/** A version's number, or the files that came with Muster. */
export type VersionName = number | 'shipped'

/** A pushed version. Throws `OVERLAY_UNKNOWN`. */
export async function getOverlayVersion(
  registry: RegistryDatabase,
  name: string,
  number: number,
): Promise<OverlayVersion> {
  const version = (await listOverlayVersions(registry, name)).find((one) => one.number === number)
  if (!version) throw new AppError('OVERLAY_UNKNOWN', `overlay ${name} has no version ${number}`)
  return version
}

/** The directory of a pushed version, to the letter. */
export async function directoryOf(registry: RegistryDatabase, version: OverlayVersion): Promise<SourceFile[]> {
  const digests = version.sources.flatMap((file) => ('digest' in file ? [file.digest] : []))
  const contents = await overlayFiles(registry, digests)
  return version.sources.map(({ path, executable, ...file }) => {
    if ('link' in file) return { path, executable, content: new Uint8Array(), link: file.link }
    const content = contents.get(file.digest)
    if (!content) throw new Error(`${path} of overlay ${version.overlay}: its content ${file.digest} is gone`)
    return { path, executable, content }
  })
}

/** A directory, and the paths in it whose content is itself a secret. */
export type Directory = { files: SourceFile[]; private: string[] }

/**
 * The directory of a version; unless one is named, of the site's current one, else of the shipped one. Throws
 * `OVERLAY_UNKNOWN`.
 */
export async function overlayDirectory(
  { registry, assets }: { registry: RegistryDatabase; assets: Assets },
  name: string,
  version?: VersionName,
): Promise<Directory> {
  const number = version ?? (await findOverlay(registry, name))?.current ?? 'shipped'
  if (number !== 'shipped') {
    const pushed = await getOverlayVersion(registry, name, number)
    // By what was made of it when it was pushed: it need not be what this release would take.
    return { files: await directoryOf(registry, pushed), private: privateSources(pushed) }
  }
  const files = await shippedFiles(assets, name)
  if (files.length === 0)
    throw new AppError('OVERLAY_UNKNOWN', version ? `no overlay ${name} came with Muster` : `no overlay ${name}`)
  const { parsed } = await lintDirectory(name, files)
  return { files, private: parsed ? privateSources(parsed) : [] }
}
