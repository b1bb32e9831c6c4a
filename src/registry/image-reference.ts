/** How nodes, profiles and requests name an image: `rocky9`, `rocky9@3`, `rocky9@tested`, `rocky9@sha256:…`. Pure. */
import { z } from '@hono/zod-openapi'
import type { Digest } from '../blobs/digest.ts'
import { AppError } from '../errors.ts'
import { nameSchema } from './settings.ts'

/** Which version of an image is meant. */
export type VersionReference = { number: number } | { digest: Digest } | { tag: string }

/** An image, and the version when one is named; without one it is the current version. */
export type ImageReference = { name: string; version?: VersionReference }

/** A name for a version that people choose: never all digits, so that it is no number, and without a colon, so no digest. */
export const tagSchema = z
  .string()
  .max(128)
  .regex(
    /^(?![0-9]+$)[A-Za-z0-9_][A-Za-z0-9._-]*$/,
    'must be letters, digits, dots, dashes or underscores, begin with none of . and -, and be no number',
  )

/** The version that a text after `@` names; `undefined` for what is no number, tag or digest. */
export function parseVersion(text: string): VersionReference | undefined {
  if (/^[1-9][0-9]{0,8}$/.test(text)) return { number: Number(text) }
  if (/^sha256:[0-9a-f]{64}$/.test(text)) return { digest: text as Digest } // the pattern is a digest's
  return tagSchema.safeParse(text).success ? { tag: text } : undefined
}

/** Reads a reference. Throws `IMAGE_UNKNOWN` for what can name no image or version, because then there is none. */
export function parseReference(reference: string): ImageReference {
  const at = reference.indexOf('@')
  const name = at < 0 ? reference : reference.slice(0, at)
  if (!nameSchema.safeParse(name).success)
    throw new AppError('IMAGE_UNKNOWN', `no image ${JSON.stringify(name.slice(0, 128))}`, { field: 'image' })
  if (at < 0) return { name }
  const version = parseVersion(reference.slice(at + 1))
  if (version) return { name, version }
  const shown = JSON.stringify(reference.slice(at + 1, at + 130))
  throw new AppError('IMAGE_UNKNOWN', `image ${name} has no version ${shown}: name a number, a tag or sha256:…`, {
    field: 'image',
  })
}
