/** The boot plan: what a node would boot, as data. Scripts, `boot show` and attempts are all made from it. */
import type { Digest } from '../blobs/digest.ts'
import { AppError, type ErrorCode } from '../errors.ts'
import { selectKernel } from '../images/kernel-version.ts'
import type { Architecture, BlobReference, Kernel } from '../images/manifest.ts'
import type { OverlaySource } from '../overlays/store.ts'
import { inherit, lineage, type Member } from '../registry/inherit.ts'
import type { Effective, Json, RootKind } from '../registry/settings.ts'
import type { Snapshot } from '../registry/snapshot.ts'
import { bootDefaults } from './defaults.ts'

/** An overlay in a plan. `version` is absent for a shipped overlay that the site has not shadowed. */
export type PlannedOverlay = { name: string; version?: number; digest: Digest }

/** What a node would boot. */
export type BootPlan = {
  node: string
  /** The registry's revision that this plan was made from. */
  revision: number
  image: { name: string; version: number; digest: Digest; architecture: Architecture }
  kernel: Kernel
  root: { mode: BootableRoot; limit?: string }
  overlays: { system: PlannedOverlay[]; runtime: PlannedOverlay[] }
  /** Kernel arguments in order, without those that the script adds itself (`initrd=…`). */
  args: string[]
  init: string
  /** Name of the iPXE template. */
  script: string
  onFailure: 'retry' | 'reboot' | 'shell'
  /** What an admin should know: a root kind that was passed over, an image's warnings. */
  warnings: string[]
}

/** Root kinds that this release boots. */
const bootableRoots = ['initramfs', 'tmpfs'] as const satisfies RootKind[]
/** One of {@link bootableRoots}. */
export type BootableRoot = (typeof bootableRoots)[number]

/** What a plan is made from. */
export type PlanInput = {
  node: Member
  snapshot: Snapshot
  overlays: Pick<OverlaySource, 'find'>
}

/**
 * The plan of a node at the registry's revision of `snapshot`. Every refusal begins with the node's name: throws
 * `PLAN_IMPOSSIBLE` for what cannot boot, and `IMAGE_UNKNOWN`, `OVERLAY_UNKNOWN`, `PROFILE_UNKNOWN` or `PROFILE_CYCLE` for
 * what is not there.
 */
export async function planBoot({ node, snapshot, overlays }: PlanInput): Promise<BootPlan> {
  const settings = inherit(node, snapshot.profiles)
  if (settings.image === undefined)
    throw refusal(node, `has no image: set one with \`muster node set ${node.name} --image NAME\``, 'image')
  if (settings.stages === 2)
    throw refusal(node, 'has stages: 2, and this release boots in one stage: set it to 1', 'stages')
  const root = chooseRoot(node, settings)
  const version = await about(node, snapshot.image(settings.image))
  const image = `${version.image}@${version.number}`
  const kernel = await about(
    node,
    (async () => selectKernel(version.summary.kernels, settings.kernel?.version))(),
    `image ${image} has `,
  )
  const names = overlayNames(settings)
  const find = (list: 'system' | 'runtime') =>
    Promise.all(names[list].map((name) => plannedOverlay({ node, snapshot, overlays }, list, name)))
  const [system, runtime] = await Promise.all([find('system'), find('runtime')])
  const size = settings.root?.size
  return {
    node: node.name,
    revision: snapshot.revision,
    image: {
      name: version.image,
      version: version.number,
      digest: version.digest,
      architecture: version.summary.architecture,
    },
    kernel,
    root: { mode: root.mode, ...(size !== undefined && { limit: size }) },
    overlays: { system, runtime },
    args: settings.kernel?.args ?? [],
    init: settings.init ?? bootDefaults.init,
    script: settings.script ?? bootDefaults.script,
    onFailure: settings.onFailure ?? bootDefaults.onFailure,
    warnings: [
      ...root.warnings,
      ...(names.system.includes('base')
        ? []
        : ['the overlay base is not among the system overlays: the image must bring its own /init']),
      ...version.summary.warnings,
    ],
  }
}

/** Names of the overlays that a node gets; the defaults when nothing is set. */
const overlayNames = (settings: Effective): { system: readonly string[]; runtime: readonly string[] } => ({
  system: settings.overlays?.system ?? bootDefaults.overlays.system,
  runtime: settings.overlays?.runtime ?? bootDefaults.overlays.runtime,
})

/** What an attempt remembers of its plan and the root archive that goes with it. */
export const planRecord = (
  { revision, image, kernel, root, overlays, script }: BootPlan,
  archive: BlobReference,
): Json => ({
  revision,
  image,
  kernel: { version: kernel.version, digest: kernel.digest },
  root: { mode: root.mode, digest: archive.digest },
  overlays,
  script,
})

/** The first kind of the order that boots here. */
function chooseRoot(node: Member, settings: Effective): { mode: BootableRoot; warnings: string[] } {
  const wanted = [settings.root?.kind ?? bootDefaults.root.kind].flat()
  const at = wanted.findIndex((kind) => isBootable(kind))
  const mode = wanted[at]
  const here = `this release boots ${bootableRoots.join(' and ')}`
  if (mode === undefined || !isBootable(mode))
    throw refusal(
      node,
      `has root.kind ${wanted.join(', ')}, and ${here}: add one of them to the order, such as ${wanted.join(',')},tmpfs`,
      'root.kind',
    )
  if (at === 0) return { mode, warnings: [] }
  return { mode, warnings: [`root.kind ${wanted.slice(0, at).join(', ')} was passed over for ${mode}: ${here}`] }
}

const isBootable = (kind: RootKind): kind is BootableRoot => bootableRoots.some((one) => one === kind)

async function plannedOverlay(
  { node, snapshot, overlays }: PlanInput,
  list: 'system' | 'runtime',
  name: string,
): Promise<PlannedOverlay> {
  const overlay = await overlays.find(name)
  if (!overlay) {
    const setter = [...lineage(node, snapshot.profiles), node].findLast((member) =>
      member.settings.overlays?.[list]?.includes(name),
    )
    const where = setter === undefined ? 'by default' : setter === node ? 'in its own' : `in profile ${setter.name}'s`
    throw refusal(node, `has no overlay ${name}, which stands ${where} overlays.${list}`, `overlays.${list}`, {
      code: 'OVERLAY_UNKNOWN',
    })
  }
  const version = overlay.layers.findLast((layer) => layer.origin === 'site')?.version
  return { name, ...(version !== undefined && { version }), digest: overlay.digest }
}

/** Puts the node's name before what others refuse. */
async function about<T>({ name }: Member, work: Promise<T>, prefix = ''): Promise<T> {
  try {
    return await work
  } catch (error) {
    if (!(error instanceof AppError) || error.code === 'INTERNAL') throw error
    throw new AppError(error.code, `${name}: ${prefix}${error.message}`, {
      ...(error.field !== undefined && { field: error.field }),
      cause: error,
    })
  }
}

const refusal = (
  { name }: Member,
  fault: string,
  field: string,
  { code = 'PLAN_IMPOSSIBLE' }: { code?: ErrorCode } = {},
): AppError => new AppError(code, `${name} ${fault}`, { field })
