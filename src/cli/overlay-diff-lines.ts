/** What differs between two directories of an overlay, as lines that `patch -p1` takes. Pure. */
import type { Part } from './io.ts'
import type { OverlayFile } from './overlay-files.ts'
import { bytesText } from './table.ts'
import { type DiffLine, textDiff } from './text-diff.ts'

/** A file that differs: before, after, or both; and whether its content may be shown. */
export type FileChange = {
  path: string
  before: OverlayFile | undefined
  after: OverlayFile | undefined
  isPrivate: boolean
}

/** The files that differ in content, target or executable bit, by path. */
export function fileChanges(before: readonly OverlayFile[], after: readonly OverlayFile[]): FileChange[] {
  const [was, is] = [byPath(before), byPath(after)]
  return [...new Set([...was.keys(), ...is.keys()])].sort().flatMap((path) => {
    const [old, wanted] = [was.get(path), is.get(path)]
    const isPrivate = old?.private === true || wanted?.private === true
    return identity(old) === identity(wanted) ? [] : [{ path, before: old, after: wanted, isPrivate }]
  })
}

/** `+ files/etc/motd` for a new file, `~` for another content, mode or target, `-`. */
export const changeLine = ({ path, before, after }: FileChange): string =>
  `${before === undefined ? '+' : after === undefined ? '-' : '~'} ${path}`

/** Lines of one file: names, mode, and what differs in the text. */
export function changeLines({ path, before, after, isPrivate }: FileChange): Part[][] {
  const head: Part[][] = [
    [{ text: `--- ${before ? `a/${path}` : '/dev/null'}`, look: 'bold' }],
    [{ text: `+++ ${after ? `b/${path}` : '/dev/null'}`, look: 'bold' }],
  ]
  const [old, now] = [before && modeOf(before), after && modeOf(after)]
  const modes: Part[][] = before && after && old !== now ? [[`old mode ${old}`], [`new mode ${now}`]] : []
  if (!before && now !== regular) modes.push([`new file mode ${now}`])
  if (before?.content === after?.content && before?.link === after?.link) return [...modes, ...head]
  if (isPrivate) return [...modes, ...head, ['its content is private: it is not shown']]
  const [was, is] = [textOf(before), textOf(after)]
  if (was === undefined || is === undefined)
    return [...modes, ...head, [`what differs is no text (${sizeOf(before)} before, ${sizeOf(after)} now)`]]
  return [...modes, ...head, ...textDiff(was, is).map(diffLine)]
}

/** A line of a diff with its looks. */
export function diffLine({ sign, text }: DiffLine): Part[] {
  const look = ({ '-': 'red', '+': 'green', '@': 'dim' } as const)[sign as '-' | '+' | '@']
  const line = sign === '@' ? text : `${sign}${text}`
  return [look ? { text: line, look } : line]
}

/** At most so many lines, and how many more there are. */
export function bounded(lines: readonly Part[][], most: number, more: string): Part[][] {
  if (lines.length <= most) return [...lines]
  return [...lines.slice(0, most), [{ text: `… ${lines.length - most} more lines: ${more}`, look: 'dim' }]]
}

const byPath = (files: readonly OverlayFile[]) => new Map(files.map((file) => [file.path, file]))

const identity = (file: OverlayFile | undefined): string | undefined =>
  file && JSON.stringify(file.link === undefined ? [file.content, file.executable === true] : [file.link])

/** Modes as git writes them. */
const regular = '100644'
const modeOf = ({ executable, link }: OverlayFile): string =>
  link !== undefined ? '120000' : executable ? '100755' : regular

const sizeOf = (file: OverlayFile | undefined): string =>
  file ? bytesText(Buffer.from(file.content, 'base64').length) : 'nothing'

/** The text of a file, the target of a link; `undefined` for what is no text. */
function textOf(file: OverlayFile | undefined): string | undefined {
  if (file?.link !== undefined) return `${file.link}\n`
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(
      Buffer.from(file?.content ?? '', 'base64'),
    )
    return text.includes('\0') ? undefined : text
  } catch {
    return undefined
  }
}
