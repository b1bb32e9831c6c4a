/** Drift of many nodes at once: the reports of their clients against their plans and trees. Nothing is asked of a node. */
import type { Journal } from '../activity/journal.ts'
import { type NodeReport, overlaysOfAttempts, reportsOf } from '../activity/reports.ts'
import type { ActivityDatabase } from '../activity/schema.ts'
import { listsOf } from '../activity/trees.ts'
import { AppError, type ErrorCode, statusOf } from '../errors.ts'
import { maskedList } from '../overlays/tree.ts'
import { parseList } from '../overlays/tree-list.ts'
import { versionsWithDigests } from '../registry/images.ts'
import { inherit } from '../registry/inherit.ts'
import type { StoredMember } from '../registry/members.ts'
import type { RegistryDatabase } from '../registry/schema.ts'
import type { Snapshot } from '../registry/snapshot.ts'
import type { OverlayArchives } from './archives.ts'
import { bootDefaults, localDisk } from './defaults.ts'
import { compare, type Drift, type DriftReason, withOverlays, withPaths } from './drift.ts'
import type { OverlayList, Planned, Plans } from './plans.ts'

/** A node's drift. `refusal` says why it is unplannable; `heardAt` is absent for one that never had a client. */
export type NodeDrift = Drift & {
  node: string
  refusal?: { code: ErrorCode; message: string }
  heardAt?: Date
  /** Nothing was heard of its client for several of its intervals. */
  silent: boolean
}

/** What {@link fleetDrift} is given. */
export type DriftSources = {
  registry: RegistryDatabase
  activity: ActivityDatabase
  journal: Journal
  archives: Pick<OverlayArchives, 'treeOf' | 'digestOf'>
  plans: Pick<Plans, 'of'>
  now: () => Date
}

/** Nodes that are looked at between two moments in which other requests have their turn. */
const atOnce = 20
/** How many of its intervals a client may miss. */
const intervalsMissed = 3
/** Seconds between two reports of a client that has nothing to tell: its polls say when it was heard of only now and then. */
const aliveSeconds = 600

const lists: readonly OverlayList[] = ['system', 'runtime']
const subjects = { system: 'system overlays', runtime: 'runtime overlays' } as const

/** A node on its way: what its client said, and what it would get now. */
type Looked = {
  node: StoredMember
  known: NodeReport | undefined
  drift: Drift
  refusal?: NonNullable<NodeDrift['refusal']>
  plan?: Planned['plan']
}

/**
 * The drift of these nodes, in their order. As many queries for a thousand nodes as for one, besides what rendering needs
 * of a node that was not rendered before. Failures of the service throw; what an admin can repair is `unplannable`.
 */
export async function fleetDrift(
  sources: DriftSources,
  nodes: readonly StoredMember[],
  snapshot: Snapshot,
): Promise<NodeDrift[]> {
  const { registry, activity, journal, now } = sources
  // What was told a moment ago counts, too; a journal that cannot be written has said so by itself.
  await journal.flush().catch(() => undefined)
  const reports = await reportsOf(
    activity,
    nodes.map(({ name }) => name),
  )
  const imageName = await imageNames(registry, [...reports.values()])
  const looked: Looked[] = []
  for (let at = 0; at < nodes.length; at += atOnce) {
    const some = nodes.slice(at, at + atOnce)
    looked.push(
      ...(await Promise.all(some.map((node) => look(sources, node, reports.get(node.name), snapshot, imageName)))),
    )
    await letOthers()
  }
  const explained = await explain(sources, looked, snapshot)
  return looked.map(({ node, known, drift, refusal }, at) => ({
    node: node.name,
    ...drift,
    reasons: explained[at] ?? drift.reasons,
    ...(refusal && { refusal }),
    ...(known && { heardAt: known.seenAt }),
    silent: known !== undefined && isSilent(node, known, snapshot, now()),
  }))
}

async function look(
  { archives, plans }: DriftSources,
  node: StoredMember,
  known: NodeReport | undefined,
  snapshot: Snapshot,
  imageName: (digest: string, preferred: string) => string | undefined,
): Promise<Looked> {
  const looked: Looked = { node, known, drift: { state: 'unknown', reasons: [] } }
  try {
    // Such a node runs what its disk has.
    if (inherit(node, snapshot.profiles).script === localDisk) return looked
    const { plan } = await plans.of(node, snapshot)
    if (!known?.reportedAt) return looked
    const { report } = known
    const [system, runtime] = await Promise.all([
      archives.digestOf(node, 'system', snapshot),
      archives.digestOf(node, 'runtime', snapshot),
    ])
    const drift = compare(report, { plan, system, runtime }, (digest) => imageName(digest, plan.image.name))
    return { ...looked, plan, drift }
  } catch (error) {
    if (!(error instanceof AppError) || !isTheirs(error.code)) throw error
    const { code, message } = error
    return { ...looked, drift: { state: 'unplannable', reasons: [] }, refusal: { code, message } }
  }
}

/** What an admin can repair; a key that is not the one of the secrets is a fault of the service and still not of the question. */
const isTheirs = (code: ErrorCode): boolean =>
  statusOf[code] < 500 || code === 'UNSUPPORTED' || code === 'SECRET_LOCKED'

/** Reasons with the paths and the overlays that make them, where what nodes were given is still known. Two queries. */
async function explain(
  { activity, archives }: DriftSources,
  looked: readonly Looked[],
  snapshot: Snapshot,
): Promise<DriftReason[][]> {
  const isDiffering = ({ drift }: Looked, list: OverlayList) =>
    drift.reasons.some(({ what }) => what === subjects[list])
  const [given, plans] = await Promise.all([
    listsOf(
      activity,
      looked.flatMap((one) => lists.flatMap((list) => (isDiffering(one, list) ? [one.known?.report[list] ?? ''] : []))),
    ),
    overlaysOfAttempts(
      activity,
      looked.flatMap((one) => (one.known && isDiffering(one, 'system') ? [one.known.attempt] : [])),
    ),
  ])
  const explainOne = async (node: StoredMember, client: NodeReport, plan: Planned['plan'], reason: DriftReason) => {
    const list = lists.find((one) => subjects[one] === reason.what)
    if (!list) return reason
    const has = given.get(client.report[list] ?? '')
    // Only then is the tree worth its making: digests alone have told that it differs.
    const named =
      has === undefined
        ? reason
        : withPaths(reason, parseList(has), parseList(maskedList(await archives.treeOf(node, list, snapshot))))
    // Runtime overlays were applied anew since the boot, so its plan does not say what they were made of.
    const then = list === 'system' ? plans.get(client.attempt) : undefined
    return then ? withOverlays(named, then.system, plan.overlays.system) : named
  }
  const explained: DriftReason[][] = []
  for (const [at, { node, known, plan, drift }] of looked.entries()) {
    explained.push(
      known && plan
        ? await Promise.all(drift.reasons.map((reason) => explainOne(node, known, plan, reason)))
        : drift.reasons,
    )
    if (at % atOnce === atOnce - 1) await letOthers()
  }
  return explained
}

/** Requests that came meanwhile have their turn. */
const letOthers = () => new Promise((resolve) => setTimeout(resolve, 0))

/** Names versions by digest; of several with the same one, that of the image that is asked for. One query. */
async function imageNames(registry: RegistryDatabase, reports: readonly NodeReport[]) {
  const digests = new Set(reports.flatMap(({ report }) => (report.image === undefined ? [] : [report.image])))
  const versions = await versionsWithDigests(registry, [...digests])
  const byDigest = Map.groupBy<string, (typeof versions)[number]>(versions, ({ digest }) => digest)
  return (digest: string, preferred: string): string | undefined => {
    const found = byDigest.get(digest)
    const version = found?.findLast(({ image }) => image === preferred) ?? found?.at(-1)
    return version && `${version.image}@${version.number}`
  }
}

function isSilent(node: StoredMember, { seenAt }: NodeReport, { profiles }: Snapshot, now: Date): boolean {
  let interval: number = bootDefaults.runtimeInterval
  try {
    interval = inherit(node, profiles).runtimeInterval ?? interval
  } catch (error) {
    // Its profiles are not there: the plan says so.
    if (!(error instanceof AppError)) throw error
  }
  const allowed = intervalsMissed * Math.max(interval, aliveSeconds) * 1000
  return now.getTime() - seenAt.getTime() > allowed
}
