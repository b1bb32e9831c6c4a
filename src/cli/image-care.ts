/** `muster image gc` and `muster image verify`: the blobs that images are made of. */
import { type Command, CommanderError } from 'commander'
import { type Answer, type Api, answer } from './client.ts'
import { counted } from './confirm.ts'
import { referenceHelp } from './image-reference.ts'
import type { Io } from './io.ts'
import { createMeter } from './progress.ts'
import { open, type Session, show, usageError, verb } from './session.ts'
import { bytesText, shortDigest, table } from './table.ts'

type Blobs = Api['client']['api']['blobs']
type Collection = Answer<Awaited<ReturnType<Blobs['collect']['$post']>>>
type Verification = Answer<Awaited<ReturnType<Blobs['verify']['$post']>>>
type BadBlob = Verification['bad'][number]

/** Adds the verbs. */
export function imageCareCommands(image: Command, io: Io): void {
  const gc = verb(image, 'gc', 'Delete what no version of any image needs any more')
  gc.option('--dry-run', 'delete nothing, show what would be')
  gc.option('--grace <duration>', 'spare what was stored or used since, such as 90m, 24h or 2d; 10m at least')
  gc.action(async ({ dryRun, grace }: { dryRun?: boolean; grace?: string }) => {
    const session = await open(io, gc)
    const json = { ...(dryRun && { dryRun }), ...(grace !== undefined && { grace: secondsIn(grace) }) }
    show(session, await answer(session.api.client.api.blobs.collect.$post({ json })), (done) =>
      collectionLines(done, dryRun === true),
    )
  })

  const check = verb(image, 'verify', 'Read an image through, and take damaged parts of it out of service')
  check.argument('[image]', referenceHelp).option('--all', 'everything that is stored, of all images')
  check.option('--rate <MB/s>', 'read no faster, so that nodes can boot meanwhile; 100 unless said otherwise')
  check.action(async (reference: string | undefined, options: { all?: boolean; rate?: string }) => {
    if ((reference === undefined) !== (options.all === true)) throw usageError('name an image, or give --all')
    const megabytes = options.rate ?? '100'
    if (!/^[1-9][0-9]{0,4}$/.test(megabytes)) throw usageError(`--rate ${megabytes}: give a whole number of MB/s`)
    const session = await open(io, check)
    const found = await verified(session, reference, Number(megabytes) * 1_000_000)
    show(session, found, verificationLines)
    if (found.bad.length > 0) throw new CommanderError(1, 'muster.damaged', remedy(found.bad))
  })
}

/** All steps as one: the API's document, only longer. */
async function verified({ api, err }: Session, image: string | undefined, rate: number): Promise<Verification> {
  const meter = createMeter({ printer: err })
  const found: Verification = { checked: 0, bytes: 0, bad: [] }
  meter.begin('verifying')
  try {
    let next: string | undefined
    do {
      const json = {
        rate,
        bytes: 2 * rate,
        ...(image !== undefined && { image }),
        ...(next !== undefined && { after: next }),
      }
      const step = await answer(api.client.api.blobs.verify.$post({ json }))
      found.checked += step.checked
      found.bytes += step.bytes
      found.bad.push(...step.bad)
      next = step.next
      meter.at(found.bytes, next === undefined ? found.bytes : Math.round(found.bytes / shareBefore(next)))
    } while (next !== undefined)
  } finally {
    meter.end()
  }
  return found
}

/** Which share of all digests comes up to this one: they are spread evenly. */
const shareBefore = (digest: string): number =>
  (Number.parseInt(digest.slice('sha256:'.length).slice(0, 8), 16) + 1) / 2 ** 32

function collectionLines({ kept, young, deleted, bytes, garbage = [] }: Collection, dryRun: boolean): string[] {
  const more = deleted - garbage.length
  return [
    ...(garbage.length === 0
      ? []
      : table(
          ['BLOB', 'SIZE'],
          garbage.map(({ digest, size }) => [digest, bytesText(size)]),
        )),
    ...(dryRun && garbage.length > 0 && more > 0 ? [`and ${more} more`] : []),
    `${dryRun ? 'would delete' : 'deleted'} ${counted(deleted, 'blob')}, ${bytesText(bytes)}`,
    `${counted(kept, 'blob')} in use, ${young} not in use but too young`,
  ]
}

function verificationLines({ checked, bytes, bad }: Verification): string[] {
  const rows = bad.map(({ digest, fault, part, versions }) => [shortDigest(digest), fault, part, versions.join(' ')])
  return [
    ...(bad.length === 0 ? [] : table(['BLOB', 'FAULT', 'WHAT', 'VERSIONS'], rows)),
    `verified ${counted(checked, 'blob')}, ${bytesText(bytes)}: ${bad.length === 0 ? 'all is well' : `${bad.length} bad`}`,
  ]
}

/** What is to be done, as the line that stderr ends with. */
function remedy(bad: readonly BadBlob[]): string {
  const lost = bad.filter(({ part }) => part !== 'unused' && part !== 'root archive' && part !== 'layer')
  const hurt = [...new Set(lost.flatMap(({ versions }) => versions))].sort()
  const what = `${counted(bad.length, 'blob')} ${bad.length === 1 ? 'is' : 'are'} damaged or missing`
  if (hurt.length === 0) return `${what}: it hurts no version, and what is needed again is made again. Look at the disk`
  return `${what}: import the sources of ${hurt.join(', ')} again with --no-current, which puts what is missing anew. Look at the disk`
}

/** Seconds of `90s`, `90m`, `24h` or `2d`. Throws (exit 2) for anything else. */
function secondsIn(text: string): number {
  const units: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400 }
  const [, digits, unit = ''] = /^([0-9]{1,6})([smhd])$/.exec(text) ?? []
  const seconds = Number(digits) * (units[unit] ?? Number.NaN)
  if (Number.isNaN(seconds)) throw usageError(`${text} is no duration: write it like 90m, 24h or 2d`)
  return seconds
}
