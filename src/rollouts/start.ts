/** Begins a rollout: which nodes, in which waves, and what an admin should know before. */
import { AppError } from '../errors.ts'
import { parseReference } from '../registry/image-reference.ts'
import { getImage, resolveImage } from '../registry/images.ts'
import { checkRevision } from '../registry/members.ts'
import { foldNames } from '../registry/name-ranges.ts'
import type { Editor } from '../registry/revisions.ts'
import { addRollout, type ImageUse, imageUse, ownImages, type RolloutEdit } from '../registry/rollout-edits.ts'
import type { Rollout, RolloutNode, RolloutPlan } from '../registry/rollouts.ts'
import type { RegistryDatabase } from '../registry/schema.ts'
import { selectForEdit } from '../registry/select.ts'
import { beginWave } from './moves.ts'
import { cutWaves } from './waves.ts'

/** What a rollout is begun with. */
export type RolloutRequest = {
  /** `rocky9@4`, or another way to name one version. */
  image: string
  /** Selector. */
  nodes: string
  /** See `cutWaves`. */
  waves: readonly string[]
  maxFailed: number
  readySeconds: number
}

/**
 * Begins a rollout and its first wave, in one revision. Nodes come by name. Answers it and what an admin should know. Throws
 * `IMAGE_UNKNOWN`, `REQUEST_INVALID` when no version is named or the waves make no sense, `SELECTOR_INVALID`, `NODE_UNKNOWN`,
 * `ROLLOUT_ACTIVE`, and `REVISION_CONFLICT` when `expected` is not the registry's revision.
 */
export async function startRollout(
  db: RegistryDatabase,
  editor: Editor,
  request: RolloutRequest,
  expected?: number,
): Promise<RolloutEdit & { notes: string[] }> {
  let notes: string[] = []
  const made = await addRollout(db, editor, async (current) => {
    checkRevision('the registry', { revision: current }, expected)
    if (!parseReference(request.image).version)
      throw new AppError('REQUEST_INVALID', `say which version of ${request.image}: ${request.image}@NUMBER`, {
        field: 'image',
      })
    const version = await resolveImage(db, request.image)
    const { image, number } = version
    const names = (await selectForEdit(db, request.nodes)).sort()
    const [own, use, stored] = await Promise.all([ownImages(db, names), imageUse(db), getImage(db, image)])
    const nodes = names.map((name): RolloutNode => {
      const before = own.get(name)
      return before === undefined ? { name } : { name, before }
    })
    const waves = cutWaves(nodes, request.waves)
    const plan: RolloutPlan = {
      digest: version.digest,
      waves,
      sizes: waves.map((wave) => wave.length),
      times: [],
      maxFailed: request.maxFailed,
      readySeconds: request.readySeconds,
      selector: request.nodes,
      current: stored.current,
    }
    const fresh = { image, number, state: 'running' as const, plan }
    notes = notesOf(fresh, names, use)
    return { image, number, move: beginWave(fresh, [], own, editor.at) }
  })
  return { ...made, notes }
}

/** What an admin should know before it begins. */
function notesOf(
  { image, number, plan }: Pick<Rollout, 'image' | 'number' | 'plan'>,
  names: readonly string[],
  use: ImageUse,
): string[] {
  const inIt = new Set(names)
  const unpinned = use.names.filter((name) => use.effective(name) === image)
  const others = unpinned.filter((name) => !inIt.has(name))
  const foreign = names.filter((name) => use.effective(name)?.split('@')[0] !== image)
  return [
    ...(foreign.length > 0 ? [`${short(foreign)} boot another image than ${image} now, or none`] : []),
    ...(plan.current === number && unpinned.length > 0
      ? [
          `${number} is the current version of ${image} already: ${short(unpinned)} boot it without any wave, as they name no version`,
        ]
      : []),
    ...(plan.current !== number && others.length > 0 && others.length < unpinned.length
      ? [
          `${short(others)} use ${image} without a version and are not in it: at the end ${plan.current ?? 'none'} stays the current version, and the nodes keep ${image}@${number} of their own`,
        ]
      : []),
  ]
}

function short(names: readonly string[]): string {
  const text = foldNames(names)
  return text.length > 100 ? `${names.length} nodes` : text
}
