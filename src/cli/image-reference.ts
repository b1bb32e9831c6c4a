/** Images as people name them on a command line: `rocky9`, `rocky9@3`, `rocky9@tested`, `rocky9@sha256:…`. */
import { AppError } from '../errors.ts'
import { answer, segment } from './client.ts'
import { type Session, usageError } from './session.ts'

/** What the help says of an argument that takes a version, too. */
export const referenceHelp = 'image: NAME for its current version, else NAME@3, NAME@TAG or NAME@sha256:…'

/** The name, and what stands behind the `@`. Throws (exit 2) when that is nothing. Pure. */
export function splitReference(reference: string): { name: string; version?: string } {
  const at = reference.indexOf('@')
  if (at < 0) return { name: reference }
  const version = reference.slice(at + 1)
  if (version === '') throw usageError(`${reference} ends with @: name a number or a tag behind it`)
  return { name: reference.slice(0, at), version }
}

/** A name that must stand alone. Throws (exit 2) when a version is with it. Pure. */
export function plainName(reference: string): string {
  const { name, version } = splitReference(reference)
  if (version !== undefined) throw usageError(`this is about all of ${name}: leave @${version} out`)
  return name
}

/** The routes of one image. Their parameters are made with `segment`. */
export const oneOf = ({ api }: Session) => api.client.api.images[':name']

/** The image itself, with its revision. */
export const imageNamed = (session: Session, name: string) =>
  answer(oneOf(session).$get({ param: { name: segment(name) } }))

/** The name and the version that is meant, the current one when none is named; as parts of a path. */
export async function versionMeant(session: Session, reference: string): Promise<{ name: string; version: string }> {
  const { name, version } = splitReference(reference)
  if (version !== undefined) return { name: segment(name), version: segment(version) }
  const { current } = await imageNamed(session, name)
  if (current === null)
    throw new AppError(
      'IMAGE_UNKNOWN',
      `image ${name} has no current version: name one, see \`muster image versions ${name}\``,
    )
  return { name: segment(name), version: String(current) }
}
