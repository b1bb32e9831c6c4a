/** Paths of assets: relative, with `/`. They may come from settings, so nothing that could leave the folder passes. */
import { AppError } from '../errors.ts'

/** The path as it was given; throws `NAME_INVALID` for one that is absolute or has `..`, `.`, an empty part, NUL or `\`. */
export function checkAssetPath(path: string): string {
  const parts = path.split('/')
  const odd = path.includes('\0') || path.includes('\\') || parts.some((part) => ['', '.', '..'].includes(part))
  if (!odd) return path
  throw new AppError('NAME_INVALID', `not a path of an asset: ${JSON.stringify(path.slice(0, 200))}`)
}

/** UTF-8 as text. Throws `TEMPLATE_INVALID` for other bytes, which would otherwise reach a node as question marks. */
export function assetText(path: string, bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (cause) {
    throw new AppError('TEMPLATE_INVALID', `${path} is not UTF-8 text`, { cause })
  }
}
