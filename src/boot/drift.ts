/** Drift: what a node runs, as its client reported it, against what it would get now. From digests alone. Pure. */
import type { AgentReport } from '../activity/schema.ts'
import { type Digest, hexOf } from '../blobs/digest.ts'
import { differences, type ListedEntry } from '../overlays/tree-list.ts'
import type { BootPlan, PlannedOverlay } from './plan.ts'

/**
 * What is to be done about a node. `runtime pending`: its client brings it up to date by itself. `unknown`: no client of it
 * ever said what it runs. `unplannable`: it would get nothing now, because its settings cannot be met.
 */
export const driftStates = ['same', 'runtime pending', 'reboot needed', 'unknown', 'unplannable'] as const
/** One of {@link driftStates}. */
export type DriftState = (typeof driftStates)[number]

/** What can differ, in the order in which it is told. */
export const driftSubjects = ['image', 'kernel', 'root', 'args', 'system overlays', 'runtime overlays'] as const

/** One difference. */
export type DriftReason = {
  what: (typeof driftSubjects)[number]
  has: string
  wants: string
  /** Paths of overlays that differ, where what the node has is still known: at most {@link pathsAtMost}. */
  paths?: string[]
  /** How many more there are. */
  morePaths?: number
  /** Overlays whose source changed since the node booted: `hosts@3 → hosts@4`, `+chrony`, `-swap`. */
  overlays?: string[]
  /** What else there is to know. */
  detail?: string
}

/** A node's state and why. */
export type Drift = { state: DriftState; reasons: DriftReason[] }

/** What a node would get now. Digests of overlay lists: the whole one, and that of its public part. */
export type Wanted = {
  plan: Pick<BootPlan, 'args'> & {
    image: Pick<BootPlan['image'], 'name' | 'version' | 'digest'>
    kernel: Pick<BootPlan['kernel'], 'version'>
    root: Pick<BootPlan['root'], 'mode'>
  }
  system: WantedTree
  runtime: WantedTree
}
/** Digests of a list. */
export type WantedTree = { digest: Digest; public: Digest }

/** Paths that a reason names. */
export const pathsAtMost = 10

/**
 * What differs. `imageName` knows versions by digest: `rocky9@3`, or `undefined`. What a report does not tell is not
 * compared; one that tells nothing of it all is `unknown`.
 */
export function compare(
  report: AgentReport,
  wanted: Wanted,
  imageName: (digest: string) => string | undefined = () => undefined,
): Drift {
  const { plan, system, runtime } = wanted
  // A node without kernel arguments says nothing of them.
  const { image, kernel, args = image === undefined ? undefined : '', rootKind } = report
  const reasons: DriftReason[] = []
  const note = (what: DriftReason['what'], has: string, wants: string, detail?: string) =>
    reasons.push({ what, has, wants, ...(detail !== undefined && { detail }) })

  if (image !== undefined && image !== plan.image.digest)
    note('image', imageName(image) ?? short(image), `${plan.image.name}@${plan.image.version}`)
  if (kernel !== undefined && kernel !== plan.kernel.version) note('kernel', kernel, plan.kernel.version)
  if (rootKind !== undefined && rootKind !== plan.root.mode) note('root', rootKind, plan.root.mode)
  const wantedArgs = plan.args.join(' ')
  if (args !== undefined && legible(args) !== legible(wantedArgs)) note('args', args, wantedArgs)
  for (const [what, has, { digest, public: open }] of [
    ['system overlays', report.system, system],
    ['runtime overlays', report.runtime, runtime],
  ] as const) {
    if (has === undefined || has === hexOf(digest)) continue
    note(what, short(has), short(hexOf(digest)), has === hexOf(open) ? withoutPrivate : undefined)
  }
  const told = [image, kernel, args, rootKind, report.system, report.runtime]
  return { state: told.every((one) => one === undefined) ? 'unknown' : stateOf(reasons), reasons }
}

const withoutPrivate = 'its private files did not arrive: see `muster boot log`'

function stateOf(reasons: readonly DriftReason[]): DriftState {
  if (reasons.length === 0) return 'same'
  return reasons.every(({ what }) => what === 'runtime overlays') ? 'runtime pending' : 'reboot needed'
}

/** Names the paths that differ between the list that a node has and the one that it would get, both with private digests hidden. */
export function withPaths(
  reason: DriftReason,
  has: readonly ListedEntry[],
  wants: readonly ListedEntry[],
): DriftReason {
  const paths = differences(has, wants)
  if (paths.length === 0)
    return wants.some((entry) => entry.private) ? { detail: 'contents of private files', ...reason } : reason
  const more = paths.length - pathsAtMost
  return { ...reason, paths: paths.slice(0, pathsAtMost), ...(more > 0 && { morePaths: more }) }
}

/** Names the overlays whose source is another than when the node booted. */
export function withOverlays(
  reason: DriftReason,
  then: readonly PlannedOverlay[],
  now: readonly PlannedOverlay[],
): DriftReason {
  const before = new Map(then.map((overlay) => [overlay.name, overlay]))
  const after = new Map(now.map((overlay) => [overlay.name, overlay]))
  const overlays = [
    ...now.flatMap((overlay) => {
      const old = before.get(overlay.name)
      if (!old) return [`+${named(overlay)}`]
      return old.digest === overlay.digest ? [] : [sourceChange(old, overlay)]
    }),
    ...then.filter(({ name }) => !after.has(name)).map((overlay) => `-${named(overlay)}`),
  ]
  return overlays.length === 0 ? reason : { ...reason, overlays }
}

const sourceChange = (old: PlannedOverlay, now: PlannedOverlay): string =>
  old.version === now.version ? named(now) : `${named(old)} → ${named(now)}`

const named = ({ name, version }: PlannedOverlay): string => (version === undefined ? name : `${name}@${version}`)

/** Enough of a digest to tell two apart. */
const short = (digest: string): string => digest.slice(0, digest.startsWith('sha256:') ? 19 : 12)

/** A node's script tells printable ASCII alone, and no more of it than a kernel takes. */
const legible = (args: string): string =>
  args
    .replaceAll(/[^\x20-\x7e]/g, '')
    .trim()
    .slice(0, argsTold)
/** Characters of arguments that a node tells (`/muster/lib/reports.sh`). */
const argsTold = 4000
