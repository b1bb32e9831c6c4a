/** Platforms: which of an image's builds is wanted. Pure. Words as in the OCI image spec (image-index.md, config.md). */
import { AppError } from '../errors.ts'

/** An operating system and a machine, in Go's words: `linux`, `arm64`, `v8`. */
export type Platform = { os: string; architecture: string; variant?: string }

/** What others call the machines. */
const aliases: Record<string, string> = {
  x86_64: 'amd64',
  'x86-64': 'amd64',
  x64: 'amd64',
  aarch64: 'arm64',
  // Node says ppc64 for both orders of bytes; Linux nodes are little endian.
  ppc64: 'ppc64le',
  i386: '386',
}

/** Reads `linux/arm64`, `linux/arm/v7` or `arm64` alone. Throws `REQUEST_INVALID`. */
export function parsePlatform(text: string): Platform {
  const parts = text.toLowerCase().split('/')
  const [os, architecture, variant] = parts.length === 1 ? ['linux', ...parts] : parts
  if (!os || !architecture || parts.length > 3 || !parts.every((part) => /^[a-z0-9][a-z0-9_.-]*$/.test(part))) {
    throw new AppError('REQUEST_INVALID', `${JSON.stringify(text.slice(0, 100))} is no platform: write linux/arm64`)
  }
  return normal({ os, architecture, ...(variant !== undefined && { variant }) })
}

/** `linux/arm64`. */
export const platformText = ({ os, architecture, variant }: Platform): string =>
  [os, architecture, ...(variant === undefined ? [] : [variant])].join('/')

/** The platform of images for a machine like this one, by what Node calls it. */
export const ownPlatform = (arch: string): Platform => normal({ os: 'linux', architecture: arch })

/** One way to say it: the variant that every machine of a kind has is not said. */
export function normal({ os, architecture, variant }: Platform): Platform {
  const machine = Object.hasOwn(aliases, architecture) ? (aliases[architecture] ?? architecture) : architecture
  const usual = (machine === 'arm64' && variant === 'v8') || (machine === 'amd64' && variant === 'v1')
  return { os, architecture: machine, ...(variant !== undefined && !usual && { variant }) }
}

/**
 * The first of `found` that is for `wanted`. A variant that was asked for must be there; when none was, the one without a
 * variant is taken before one with.
 */
export function matching<Found extends { platform?: Platform }>(
  found: readonly Found[],
  wanted: Platform,
): Found | undefined {
  const fitting = found.filter(({ platform }) => platform && isFor(platform, wanted))
  return fitting.find(({ platform }) => platform?.variant === wanted.variant) ?? fitting[0]
}

/** Whether an image for `platform` is what `wanted` asks for. */
export const isFor = (platform: Platform, wanted: Platform): boolean =>
  platform.os === wanted.os &&
  platform.architecture === wanted.architecture &&
  (wanted.variant === undefined || platform.variant === wanted.variant)
