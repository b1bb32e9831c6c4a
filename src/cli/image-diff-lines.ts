/** The difference of two images as text for people. Pure. */
import { counted } from './confirm.ts'
import type { Part } from './io.ts'
import { bytesText, table } from './table.ts'

/** An entry on one side. */
type Entry = {
  type: string
  mode: string
  uid: number
  gid: number
  size?: number | undefined
  links?: number | undefined
  target?: string | undefined
  device?: [number, number] | undefined
  xattrs?: string[] | undefined
}

/** What the API answers, as far as the text goes. */
export type ImageDiff = {
  from: { image: string; number: number }
  to: { image: string; number: number }
  files: {
    added: number
    removed: number
    changed: number
    touched: number
    items: {
      path: string
      change: string
      what: string[]
      before: Entry | null
      after: Entry | null
      entries: number
    }[]
    next: string | null
  }
  packages: { name: string; architecture: string; before: string[]; after: string[]; change: string }[]
  transfer: { segments: number; bytes: number; kernelBytes: number; totalBytes: number }
  warnings: string[]
}

type Line = string | Part[]

/** Packages, then files, then what is fetched; with `files` or `packages` that alone. */
export function imageDiffLines(diff: ImageDiff, only: { files?: boolean; packages?: boolean }): Line[] {
  const name = ({ image, number }: ImageDiff['from']) => `${image}@${number}`
  const head: Part[] = [{ text: `${name(diff.from)} -> ${name(diff.to)}`, look: 'bold' }]
  if (only.packages) return packageLines(diff)
  if (only.files) return diff.files.items.map(fileLine)
  return [
    head,
    ...packageLines(diff),
    fileSummary(diff.files),
    ...diff.files.items.map(fileLine),
    `a mirror, or a node with a disk cache, that has ${name(diff.from)} fetches ${fetched(diff.transfer)}`,
    ...diff.warnings.map((warning): Part[] => [{ text: 'warning: ', look: 'yellow' }, warning]),
  ]
}

function packageLines({ packages }: ImageDiff): Line[] {
  if (packages.length === 0) return ['packages: no difference']
  return table(
    ['PACKAGE', 'ARCHITECTURE', 'BEFORE', 'AFTER', 'CHANGE'],
    packages.map(({ name, architecture, before, after, change }) => [
      name,
      architecture,
      before.join(', '),
      after.join(', '),
      change,
    ]),
  )
}

function fileSummary({ added, removed, changed, touched }: ImageDiff['files']): string {
  const counts = `files: ${added} added, ${removed} removed, ${changed} changed`
  return touched > 0 ? `${counts}; ${touched} more have only another time` : counts
}

function fileLine({ path, change, what, before, after, entries }: ImageDiff['files']['items'][number]): Line {
  const sign = { added: '+', removed: '-' }[change] ?? '~'
  const look = ({ added: 'green', removed: 'red' } as const)[change] ?? 'yellow'
  const entry = after ?? before
  const slash = entry?.type === 'directory' && path !== '/' ? '/' : ''
  const more = entries > 0 ? ` (with ${entries} below)` : ''
  const size = change !== 'changed' && entry?.size !== undefined ? `  ${bytesText(entry.size)}` : ''
  const details = before && after ? what.map((aspect) => aspectText(aspect, before, after)).join(', ') : ''
  return [{ text: sign, look }, ` ${path}${slash}${more}${size}${details && `  ${details}`}`]
}

function aspectText(aspect: string, before: Entry, after: Entry): string {
  const both = (text: (entry: Entry) => string) => `${aspect} ${text(before)} -> ${text(after)}`
  if (aspect === 'mode') return both(({ mode }) => mode)
  if (aspect === 'owner') return both(({ uid, gid }) => `${uid}:${gid}`)
  if (aspect === 'type') return both(({ type }) => type)
  if (aspect === 'target') return both(({ target = '' }) => target)
  if (aspect === 'device') return both(({ device }) => device?.join(':') ?? '')
  if (aspect === 'links') return both(({ links = 1 }) => String(links))
  if (aspect === 'content' && before.size !== after.size) return both(({ size = 0 }) => bytesText(size))
  if (aspect === 'content') return `content (${bytesText(after.size ?? 0)})`
  return aspect
}

function fetched({ segments, bytes, kernelBytes, totalBytes }: ImageDiff['transfer']): string {
  const kernels = kernelBytes > 0 ? ` and ${bytesText(kernelBytes)} of kernels` : ''
  return `${bytesText(bytes)} of ${bytesText(totalBytes)} in ${counted(segments, 'segment')}${kernels}`
}
