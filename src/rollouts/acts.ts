/** What people do with a rollout that has begun: pause, resume, skip nodes, take it back. */
import { AppError } from '../errors.ts'
import { resolveImage } from '../registry/images.ts'
import type { Editor } from '../registry/revisions.ts'
import { changeRollout, type Move, type RolloutEdit } from '../registry/rollout-edits.ts'
import { activeRollouts, pinOf, type Rollout } from '../registry/rollouts.ts'
import type { RegistryDatabase } from '../registry/schema.ts'
import { selectForEdit } from '../registry/select.ts'
import { isActive, type RolloutServices } from './known.ts'
import { revertMove } from './run.ts'

/** Stops giving out waves; failures still take everything back. Throws `ROLLOUT_UNKNOWN`, `ROLLOUT_ENDED`. */
export const pauseRollout = (db: RegistryDatabase, editor: Editor, id: number): Promise<RolloutEdit> =>
  changeRollout(db, editor, id, async (rollout) => changeState(rollout, 'paused'))

/** Goes on with a rollout that was paused. Throws `ROLLOUT_UNKNOWN`, `ROLLOUT_ENDED`. */
export const resumeRollout = (db: RegistryDatabase, editor: Editor, id: number): Promise<RolloutEdit> =>
  changeRollout(db, editor, id, async (rollout) => changeState(rollout, 'running'))

/**
 * Neither waits for these nodes of the rollout any more nor counts their failure; they get the version, or keep it. Throws
 * `ROLLOUT_UNKNOWN`, `ROLLOUT_ENDED`, `SELECTOR_INVALID`, and `NODE_UNKNOWN` when the selector means none of its nodes.
 */
export async function skipNodes(
  db: RegistryDatabase,
  editor: Editor,
  id: number,
  select: string,
): Promise<RolloutEdit> {
  return changeRollout(db, editor, id, async (rollout) => {
    refuseEnded(rollout)
    const names = new Set(await selectForEdit(db, select))
    const nodes = rollout.plan.waves.flat().filter((node) => names.has(node.name))
    if (nodes.length === 0)
      throw new AppError('NODE_UNKNOWN', `no node of rollout ${id} is one of ${select.slice(0, 200)}`, {
        field: 'nodes',
      })
    if (nodes.every((node) => node.skipped)) return undefined
    const waves = rollout.plan.waves.map((wave) =>
      wave.map((node) => (names.has(node.name) ? { ...node, skipped: true as const } : node)),
    )
    return unmoved(rollout, { plan: { ...rollout.plan, waves } })
  })
}

/**
 * Takes a rollout back by hand, a finished one, too; of one that was taken back already, nothing changes. Throws
 * `ROLLOUT_UNKNOWN`; for a finished one `ROLLOUT_ACTIVE` when its image has another that is under way, and `IMAGE_UNKNOWN`
 * when what it would put back was deleted.
 */
export async function revertRollout(services: RolloutServices, editor: Editor, id: number): Promise<RolloutEdit> {
  return changeRollout(services.registry, editor, id, async (rollout) => {
    if (rollout.state === 'reverted') return undefined
    const later = (await activeRollouts(services.registry)).find(
      (other) => other.id !== id && other.image === rollout.image,
    )
    if (later)
      throw new AppError(
        'ROLLOUT_ACTIVE',
        `rollout ${later.id} of ${pinOf(later)} is under way: end it first, or take that one back`,
      )
    const why = editor.message ? `: ${editor.message}` : ''
    const move = await revertMove(services, rollout, `${editor.author} took it back${why}`)
    if (rollout.state === 'finished') await refuseMissing(services.registry, rollout, move)
    return move
  })
}

/** While a rollout is under way nobody can delete what it would put back; after its end somebody may have. */
async function refuseMissing(db: RegistryDatabase, rollout: Rollout, { images, current }: Move): Promise<void> {
  const references = new Set([...images.values()].filter((image) => typeof image === 'string'))
  if (typeof current === 'number') references.add(`${rollout.image}@${current}`)
  for (const reference of references) {
    try {
      await resolveImage(db, reference)
    } catch (cause) {
      if (!(cause instanceof AppError) || cause.code !== 'IMAGE_UNKNOWN') throw cause
      throw new AppError(
        'IMAGE_UNKNOWN',
        `${reference}, which a revert would put back, is gone: give the nodes another image with \`muster node set\``,
        { cause },
      )
    }
  }
}

function changeState(rollout: Rollout, state: 'running' | 'paused'): Move | undefined {
  refuseEnded(rollout)
  return rollout.state === state ? undefined : unmoved(rollout, { state })
}

const unmoved = (rollout: Rollout, changes: Partial<Pick<Move, 'state' | 'plan'>>): Move => ({
  state: rollout.state,
  plan: rollout.plan,
  images: new Map(),
  ...changes,
})

function refuseEnded(rollout: Rollout): void {
  if (isActive(rollout)) return
  throw new AppError('ROLLOUT_ENDED', `rollout ${rollout.id} of ${pinOf(rollout)} is ${rollout.state} already`)
}
