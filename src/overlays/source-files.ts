/** An overlay as a directory again: the files that `parseOverlay` would make the same manifest of. Pure. */
import { stringify } from 'yaml'
import type { Digest } from '../blobs/digest.ts'
import type { OverlayEntry, OverlayManifest } from './manifest.ts'
import type { SourceFile } from './parse.ts'

/**
 * The directory of a manifest: `overlay.yaml`, written anew with the attributes that a file does not have by itself, and
 * the files below `files/`. Throws when a content is missing.
 */
export function sourceFiles(
  manifest: OverlayManifest,
  contents: ReadonlyMap<Digest, Uint8Array<ArrayBuffer>>,
): SourceFile[] {
  const attributes = manifest.entries.map((entry) => [keyOf(entry), attributesOf(entry)] as const)
  const said = Object.fromEntries(attributes.filter(([, some]) => Object.keys(some).length > 0))
  const yaml = {
    ...(manifest.description !== undefined && { description: manifest.description }),
    ...(Object.keys(said).length > 0 && { files: said }),
  }
  const files = manifest.entries.flatMap((entry): SourceFile[] => {
    const path = `files${entry.path}`
    if (entry.type === 'directory') return []
    if (entry.type === 'link') return [{ path, content: new Uint8Array(), executable: false, link: entry.target }]
    const content = contents.get(entry.digest)
    if (!content) throw new Error(`${entry.path}: its content ${entry.digest} is gone`)
    return [{ path, content, executable: isExecutable(entry) }]
  })
  if (Object.keys(yaml).length === 0) return files
  const text = new TextEncoder().encode(stringify(yaml, { lineWidth: 0 }))
  return [{ path: 'overlay.yaml', content: text, executable: false }, ...files]
}

const keyOf = ({ type, path }: OverlayEntry): string => (type === 'directory' ? `${path}/` : path)

const isExecutable = ({ mode }: OverlayEntry): boolean => (mode & 0o111) !== 0

function attributesOf(entry: OverlayEntry): Record<string, string | boolean> {
  const { type, mode, uid, gid, template, each, when } = entry
  const usual = type === 'link' ? mode : type === 'file' ? (isExecutable(entry) ? 0o755 : 0o644) : undefined
  return {
    ...(mode !== usual && { mode: `0${mode.toString(8).padStart(3, '0')}` }),
    ...((uid !== 0 || gid !== 0) && { owner: `${uid}:${gid}` }),
    ...(template && { template }),
    ...(each !== undefined && { each }),
    ...(when !== undefined && { when }),
  }
}
