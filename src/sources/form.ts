/** What kind of source a text names, by its form alone. Pure. The forms are those of containers-transports(5). */
import { AppError } from '../errors.ts'
import { parseReference, type Reference } from './reference.ts'

/** A file or directory with images in it, and which of them: a name, or `@` and its number from 0. */
export type Located = { path: string; image?: string }

/** A text, understood. */
export type Form =
  | { kind: 'registry'; reference: Reference }
  | ({ kind: 'docker-archive' | 'oci-archive' | 'oci' } & Located)
  | { kind: 'path'; path: string }
  | { kind: 'stdin' }

/** Forms that are understood elsewhere, and how to get from there to here. */
const elsewhere: Record<string, (rest: string) => string> = {
  'containers-storage': (rest) => `podman save ${rest} | muster image import - NAME`,
  'docker-daemon': (rest) => `docker save ${rest} | muster image import - NAME`,
  dir: (rest) => `skopeo copy dir:${rest} oci-archive:image.tar, then import image.tar`,
  sif: (rest) => `singularity build --sandbox tree ${rest}, then import the directory tree`,
  file: (rest) => `give the path alone: ${rest.replace(/^\/\//, '')}`,
  http: () => 'curl -L URL | muster image import - NAME',
  https: () => 'curl -L URL | muster image import - NAME',
}

/** Reads a source as somebody types it. Throws `REQUEST_INVALID` for what is none, with the way out. */
export function parseForm(text: string): Form {
  if (text === '')
    throw new AppError('REQUEST_INVALID', 'a source is missing: a path, docker://NAME:TAG, or - for stdin')
  if (text.includes('\0')) throw new AppError('REQUEST_INVALID', 'a source must not hold NUL')
  if (text === '-') return { kind: 'stdin' }
  const [, transport, rest = ''] = /^([a-z][a-z0-9-]*):(.*)$/s.exec(text) ?? []
  if (transport === 'docker') {
    if (rest.startsWith('//')) return { kind: 'registry', reference: parseReference(rest.slice(2)) }
    throw new AppError('REQUEST_INVALID', 'an image in a registry is written docker://NAME:TAG, with two slashes')
  }
  if (transport === 'docker-archive' || transport === 'oci-archive' || transport === 'oci') {
    const [, path = '', image] = /^([^:]*)(?::(.*))?$/s.exec(rest) ?? []
    if (path === '' || image === '') {
      throw new AppError('REQUEST_INVALID', `${text}: write ${transport}:PATH or ${transport}:PATH:IMAGE`)
    }
    return { kind: transport, path, ...(image !== undefined && { image }) }
  }
  const way = transport === undefined ? undefined : elsewhere[transport]
  if (way) throw new AppError('REQUEST_INVALID', `Muster does not read ${transport}: itself: ${way(rest)}`)
  return { kind: 'path', path: text }
}
