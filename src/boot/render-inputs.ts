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

/** A rendering is begun again for each thing that it wants, so this is also how many files its templates may include. */
const mostRounds = 200

type Sources = Pick<Services, 'registry' | 'cluster' | 'url' | 'now' | 'secretKey'>

/** A renderer that remembers outputs from node to node. */
export function overlayRenderer(services: Sources, around: { nodes: AllNodes; files: TemplateFiles }): OverlayRenderer {
  const { cluster, url } = services
  const openSecrets = secretsOf(services)
  const memory = renderMemory()

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
    const imageFiles = new Map<string, FileBytes>()
    const headFiles = new Map<string, FileBytes>()

    /** What is in the map already, or wanted: each of these is fetched once for a rendering. */
    const fileIn = (map: Map<string, FileBytes>, path: string, fetch: () => Promise<FileBytes>): FileBytes => {
      if (map.has(path)) return map.get(path)
      throw new Wanted(async () => void map.set(path, await fetch()))
    }

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
      imageFile: (path) => fileIn(imageFiles, path, () => around.files.ofImage(plan.image.digest, path)),
      headFile: (path) => fileIn(headFiles, path, () => around.files.ofHead(path)),
      secrets() {
        read.secrets = true
        if (secrets) return secrets
        throw new Wanted(async () => {
          secrets = await openSecrets(node, snapshot, declaredSecrets(overlays))
        })
      },
    }
    const reads = (): Reads => ({
      secrets: read.secrets,
      ...(read.nodes && { nodes: listed?.stamp ?? '' }),
      ...(headFiles.size > 0 && { headFiles }),
    })
    return { inputs, reads }
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
