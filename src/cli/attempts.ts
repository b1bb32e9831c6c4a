/** Boots as timelines. Pure. */
import type { Part, Styled } from './io.ts'
import { bytesText, isMap, shortDigest, table, timeText, valueText } from './table.ts'

/** One boot as the API answers it. */
export type Attempt = {
  id: string
  startedAt: string
  mac: string
  plan?: unknown
  outcome: string
  events: { at: string; kind: string; detail?: unknown }[]
}

const looks: Record<string, Styled['look']> = { ready: 'green', failed: 'red' }

/** For each boot a head line, then its events with the seconds since its script. */
export function attemptLines(attempts: readonly Attempt[]): (string | Part[])[] {
  if (attempts.length === 0) return ['no boots yet']
  return attempts.flatMap((attempt) => [
    [
      { text: attempt.outcome, look: looks[attempt.outcome] ?? 'yellow' },
      `  ${timeText(attempt.startedAt)}  ${attempt.mac}  ${imageOf(attempt.plan)}  attempt ${attempt.id}`,
    ] satisfies Part[],
    ...timeline(attempt),
  ])
}

function timeline({ startedAt, events, plan }: Attempt): string[] {
  const nameOf = blobNames(plan)
  const rows = events.map(({ at, kind, detail }) => {
    const seconds = ((Date.parse(at) - Date.parse(startedAt)) / 1000).toFixed(1)
    return [`+${seconds} s`.padStart(9), kind, kind === 'blob' ? transferText(detail, nameOf) : detailText(detail)]
  })
  // A timeline explains itself: no heads.
  return table(['', '', ''], rows).slice(1)
}

/** A download: what, how much of it, how fast; one that broke off says so. */
function transferText(detail: unknown, nameOf: (digest: string) => string): string {
  if (!isMap(detail)) return detailText(detail)
  const { digest, sent, length, ms, complete } = detail
  const [bytes, wanted, seconds] = [Number(sent), Number(length), Number(ms) / 1000]
  const whole = complete === true ? bytesText(bytes) : `broke off after ${bytesText(bytes)} of ${bytesText(wanted)}`
  const speed = seconds > 0 ? `, ${bytesText(Math.round(bytes / seconds))}/s` : ''
  return `${nameOf(String(digest))} ${whole} in ${seconds.toFixed(1)} s${speed}`
}

/** Bytes and durations by their unit, digests short, everything else as it was told. */
function detailText(detail: unknown): string {
  if (!isMap(detail)) return detail == null ? '' : valueText(detail)
  return Object.entries(detail)
    .map(([key, value]) => {
      if (typeof value === 'number' && key.endsWith('KiB')) return `${key.slice(0, -3)} ${bytesText(value * 1024)}`
      if (typeof value === 'number' && /^(?:size|bytes)$/.test(key)) return bytesText(value)
      if (typeof value === 'number' && key === 'uptime') return `uptime ${value} s`
      if (typeof value === 'boolean') return value ? key : ''
      if (key === 'digest') return shortDigest(String(value))
      if (typeof value === 'string' && /^(?:sha256:)?[0-9a-f]{64}$/.test(value)) return `${key} ${enoughOf(value)}`
      return `${key} ${valueText(value)}`
    })
    .filter((text) => text !== '')
    .join(', ')
}

/** Enough to tell two apart: of a digest with its algorithm, or of its digits alone. */
const enoughOf = (digest: string): string => (digest.includes(':') ? shortDigest(digest) : digest.slice(0, 12))

/** What a digest is in the plan of the attempt: `kernel`, `root`; a digest that is not in it stays one. */
function blobNames(plan: unknown): (digest: string) => string {
  const parts = isMap(plan) ? Object.entries(plan) : []
  const names = new Map(parts.map(([name, part]) => [isMap(part) ? part.digest : part, name]))
  return (digest) => names.get(digest) ?? shortDigest(digest)
}

function imageOf(plan: unknown): string {
  const image = isMap(plan) ? plan.image : undefined
  if (!isMap(image)) return typeof image === 'string' ? image : ''
  return `${image.name}@${image.version}`
}
