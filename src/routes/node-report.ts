/** What a node tells, read from JSON: strict in what is known, patient with keys that clients of another version add. */
import { z } from '@hono/zod-openapi'
import type { AgentReport } from '../activity/schema.ts'
import { AppError } from '../errors.ts'
import type { Json } from '../registry/settings.ts'

/** Characters of a detail in JSON. A kernel command line is up to 4096 (COMMAND_LINE_SIZE in the kernel's asm/setup.h). */
const detailAtMost = 8192
/** Bytes of a whole report. */
export const reportBytesAtMost = detailAtMost + 1024
const depthAtMost = 8
const failureAtMost = 500

const kinds = ['init', 'stage', 'failed', 'ready', 'applied', 'alive'] as const
/** What a node tells of: steps of its boot, what its client applied, or only that it is there. */
export type ReportKind = (typeof kinds)[number]

const envelope = z.strictObject({
  kind: z.enum(kinds),
  detail: z.record(z.string().max(64), z.json()).default({}),
})

/** Scripts send as a number whatever looks like one. */
const word = (pattern: RegExp, fault: string) =>
  z.union([z.string(), z.number().transform(String)]).pipe(z.string().trim().regex(pattern, fault))
const hex = word(/^[0-9a-f]{64}$/, 'must be a sha256 in hex')
const amount = z.number().min(0).max(Number.MAX_SAFE_INTEGER)

/** The part of a detail that is a report on what the node runs. */
const known = z.object({
  image: word(/^sha256:[0-9a-f]{64}$/, 'must be a digest: sha256:…').optional(),
  kernel: word(/^[\x21-\x7e]{1,128}$/, 'must be what `uname -r` prints').optional(),
  args: word(/^[^\p{Cc}]{0,4096}$/u, 'must be one line of at most 4096 characters').optional(),
  system: hex.optional(),
  runtime: hex.optional(),
  uptime: amount.optional(),
  memTotalKiB: amount.optional(),
  memAvailableKiB: amount.optional(),
  rootKind: word(/^[a-z0-9][a-z0-9_.-]{0,31}$/i, 'must be a word').optional(),
  rootSizeKiB: amount.optional(),
  rootUsedKiB: amount.optional(),
  failure: z.json().optional(),
  message: z.json().optional(),
})

/** A report of a node: its kind, the detail as it was told, and what of it says how the node is. */
export type NodeTelling = { kind: ReportKind; detail: Json; report: AgentReport }

/** Reads a report. Throws `REQUEST_INVALID`, naming what is wrong. */
export function readReport(text: string): NodeTelling {
  const given = parse(text)
  if (depthOf(given) > depthAtMost + 1) return refuse(`has a detail nested more than ${depthAtMost} levels deep`)
  const outer = envelope.safeParse(given)
  if (!outer.success) return refuse(faultIn(outer.error, 'the body'))
  const { kind, detail } = outer.data
  if (JSON.stringify(detail).length > detailAtMost)
    return refuse(`has a detail of more than ${detailAtMost} characters`)
  // A script that could not find something out sends nothing of it. No arguments are arguments.
  const said = known.safeParse(
    Object.fromEntries(Object.entries(detail).filter(([key, value]) => value !== '' || key === 'args')),
  )
  if (!said.success) return refuse(faultIn(said.error, 'detail', ['detail']))
  const { failure, message, ...facts } = said.data
  const fault = lineOf(kind === 'failed' ? (failure ?? message ?? 'it failed, and did not say why') : failure)
  return { kind, detail, report: { ...present(facts), ...(fault !== undefined && { failure: fault }) } }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    return refuse('is no JSON', cause)
  }
}

function refuse(fault: string, cause?: unknown): never {
  throw new AppError('REQUEST_INVALID', `the report ${fault}`, { cause })
}

function faultIn({ issues: [issue] }: z.ZodError, whole: string, above: string[] = []): string {
  const path = [...above, ...(issue?.path ?? [])].join('.')
  return `is wrong in ${path || whole}: ${issue?.message}`
}

/** The same without the fields that are not there: absence is no field. */
const present = <Facts extends object>(facts: Facts) =>
  Object.fromEntries(Object.entries(facts).filter(([, value]) => value !== undefined)) as {
    [Key in keyof Facts]: Exclude<Facts[Key], undefined>
  }

/** The first line of a text that somebody may have to read, cut rather than refused: a failure must not stay untold. */
function lineOf(value: Json | undefined): string | undefined {
  if (value === undefined) return undefined
  const [line = ''] = (typeof value === 'string' ? value : JSON.stringify(value)).trim().split('\n')
  return line.replaceAll(/\p{Cc}/gu, ' ').slice(0, failureAtMost)
}

/** Levels of brackets. The text was small, so the recursion is too. */
function depthOf(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0
  let deepest = 0
  for (const inner of Object.values(value)) deepest = Math.max(deepest, depthOf(inner))
  return deepest + 1
}
