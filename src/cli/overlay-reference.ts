/** What the verbs of `muster overlay` ask the API with. */
import { AppError } from '../errors.ts'
import { answer, segment } from './client.ts'
import type { Part } from './io.ts'
import type { OverlayFile } from './overlay-files.ts'
import { type Session, usageError } from './session.ts'

/** Calls about one overlay. */
export const oneOf = ({ api }: Session) => api.client.api.overlays[':name']

/** A version in a query; none for what holds now. */
export const numbered = (version: string | undefined) => (version === undefined ? {} : { version })

/** A version on the command line. Throws (exit 2) for what is neither a number nor `shipped`. */
export function versionNamed(text: string): string {
  const version = text.replace(/^@/, '')
  if (version === 'shipped' || /^[1-9][0-9]{0,8}$/.test(version)) return version
  throw usageError(`${text} is no version: name a number (see \`muster overlay versions\`), or shipped`)
}

/** The header that keeps an edit from meeting another version than the one seen; none where the site has no version. */
export async function ifMatch(session: Session, name: string): Promise<Record<string, string>> {
  const response = await unlessUnknown(oneOf(session).$get({ param: { name: segment(name) }, query: {} }))
  const tag = response?.headers.get('etag')
  return tag ? { 'if-match': tag } : {}
}

/** The files of a version, or of what holds now. Throws `OVERLAY_UNKNOWN`. */
export const filesOf = (session: Session, name: string, version?: string): Promise<OverlayFile[]> =>
  answer(oneOf(session).files.$get({ param: { name: segment(name) }, query: numbered(version) }))

/** `undefined` where there is no such overlay. */
export async function unlessUnknown<Found>(found: Promise<Found>): Promise<Found | undefined> {
  try {
    return await found
  } catch (error) {
    if (error instanceof AppError && error.code === 'OVERLAY_UNKNOWN') return undefined
    throw error
  }
}

/** What lint has to say, as the API gives it. */
export type Finding = { level: 'error' | 'warning'; path: string; line?: number | undefined; message: string }

/** `files/etc/motd:3: warning: …`, as compilers write it, so that editors find the place. */
export function findingLine({ level, path, line, message }: Finding): Part[] {
  const place = path === '' ? '' : `${path}${line === undefined ? '' : `:${line}`}: `
  return [place, { text: `${level}: `, look: level === 'error' ? 'red' : 'yellow' }, message]
}
