/** Renders overlays for nodes, and fetches what templates turn out to want. */
import { AppError } from '../errors.ts'
import { type Inputs, Wanted } from '../overlays/inputs.ts'
import { type LayeredOverlay, renderOverlays } from '../overlays/layers.ts'
import { renderMemory } from '../overlays/memory.ts'
import type { RenderedFile } from '../overlays/render.ts'
import { buildView } from '../overlays/view.ts'
import { inherit, type Member } from '../registry/inherit.ts'
import { type Secrets, secretsOf } from '../registry/node-secrets.ts'
import type { Snapshot } from '../registry/snapshot.ts'
import type { Services } from '../services.ts'
import type { AllNodes, ListedNodes } from './all-nodes.ts'
import { bootDefaults } from './defaults.ts'
import { declaredSecrets, type Planned } from './plans.ts'
import type { FileBytes, TemplateFiles } from './template-files.ts'

/** What a rendering has asked for that its node's settings and plan do not say. */
export type Reads = {
  /** The stamp of all nodes, if it read them. */
  nodes?: string
  /** Whether it read secrets. */
  secrets: boolean
  /** Files of the head node that it read, as they were. */
  headFiles?: ReadonlyMap<string, FileBytes>
}

/** Renders overlays. */
export type OverlayRenderer = {
  /** Throws as `renderOverlays` does, and what fetching throws. */
  render(
    node: Member,
    planned: Planned,
    overlays: readonly LayeredOverlay[],
    snapshot: Snapshot,
  ): Promise<{ rendered: RenderedFile[]; reads: Reads }>
  /** How many templates were rendered. */
  renders(): number
}

/** Paths of files that a rendering read. */
type PathsRead = { image: string[]; head: string[] }

/** A rendering is begun again for each thing that it wants, so this is also how many files its templates may include. */
const mostRounds = 200

type Sources = Pick<Services, 'registry' | 'cluster' | 'url' | 'now' | 'secretKey'>

/** A renderer that remembers outputs from node to node. */
export function overlayRenderer(services: Sources, around: { nodes: AllNodes; files: TemplateFiles }): OverlayRenderer {
  const { cluster, url } = services
  const openSecrets = secretsOf(services)
  const memory = renderMemory()
  // By list: what its last rendering read. Nearly every node reads the same files, and each that is not at hand would cost it a
  // rendering begun in vain.
  const lastRead = new WeakMap<readonly LayeredOverlay[], PathsRead>()

  return {
    async render(node, planned, overlays, snapshot) {
      const settings = inherit(node, snapshot.profiles)
      const { plan } = planned
      const { inputs, reads } = await inputsOf(node, planned, overlays, snapshot)
      const render = () =>
        renderOverlays(
          overlays,
          buildView({
            node: { name: node.name, profiles: node.profiles, settings },
            image: plan.image,
            kernel: { version: plan.kernel.version, args: plan.args },
            root: { kind: plan.root.mode, size: plan.root.limit },
            init: plan.init,
            onFailure: plan.onFailure,
            runtimeInterval: settings.runtimeInterval ?? bootDefaults.runtimeInterval,
            cluster,
            head: { url },
            private: planned.private,
            inputs,
          }),
          memory,
        )
      return { rendered: await untilAtHand(render), reads: reads() }
    },
    renders: () => memory.renders,
  }

  async function inputsOf(node: Member, { plan }: Planned, overlays: readonly LayeredOverlay[], snapshot: Snapshot) {
    // If templates ever read the nodes, outputs are remembered by their stamp, so it must be of now.
    let listed: ListedNodes | undefined = await around.nodes.ifAsked(snapshot)
    let secrets: Secrets | undefined
    const read = { nodes: false, secrets: false }
    const ofImage = filesAtHand((path) => around.files.ofImage(plan.image.digest, path))
    const ofHead = filesAtHand((path) => around.files.ofHead(path))
    const last = lastRead.get(overlays)
    if (last) await Promise.all([ofImage.prepare(last.image), ofHead.prepare(last.head)])

    const inputs: Inputs = {
      nodes() {
        read.nodes = true
        if (listed) return listed.nodes
        throw new Wanted(async () => {
          listed = await around.nodes.at(snapshot)
        })
      },
      get nodesStamp() {
        read.nodes = true
        return listed?.stamp ?? ''
      },
      imageFile: ofImage.get,
      headFile: ofHead.get,
      secrets() {
        read.secrets = true
        if (secrets) return secrets
        throw new Wanted(async () => {
          secrets = await openSecrets(node, snapshot, declaredSecrets(overlays))
        })
      },
    }
    const reads = (): Reads => {
      lastRead.set(overlays, { image: [...ofImage.read.keys()], head: [...ofHead.read.keys()] })
      return {
        secrets: read.secrets,
        ...(read.nodes && { nodes: listed?.stamp ?? '' }),
        ...(ofHead.read.size > 0 && { headFiles: ofHead.read }),
      }
    }
    return { inputs, reads }
  }
}

/** Files for one rendering, each fetched once. `read` says which of them it has read, and what was in them. */
function filesAtHand(fetch: (path: string) => Promise<FileBytes>) {
  const known = new Map<string, FileBytes>()
  const read = new Map<string, FileBytes>()
  const bring = async (path: string) => void known.set(path, await fetch(path))
  return {
    read,
    /** Throws {@link Wanted} for what is not there yet. */
    get(path: string): FileBytes {
      if (!known.has(path)) throw new Wanted(() => bring(path))
      const bytes = known.get(path)
      read.set(path, bytes)
      return bytes
    },
    /** Fetches what is likely to be read. A failure counts only when it is. */
    async prepare(paths: readonly string[]): Promise<void> {
      await Promise.all(paths.map((path) => bring(path).catch(() => undefined)))
    },
  }
}

/** Templates cannot wait, so a rendering that wants something is begun again once that is there. */
async function untilAtHand<T>(render: () => T): Promise<T> {
  for (let round = 0; round < mostRounds; round++) {
    try {
      return render()
    } catch (error) {
      if (!(error instanceof Wanted)) throw error
      await error.fetch()
    }
  }
  throw new AppError('TEMPLATE_INVALID', `the templates of a list include more than ${mostRounds} files: use fewer`)
}
