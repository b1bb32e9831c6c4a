/** What holds of rollouts whatever happens: stories that nobody thought of, told to the real registry. */
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { findImage, setCurrent } from '../../src/registry/images.ts'
import { currentRevision } from '../../src/registry/revisions.ts'
import { imageUse } from '../../src/registry/rollout-edits.ts'
import { getRollout, pinOf, type Rollout } from '../../src/registry/rollouts.ts'
import type { Settings } from '../../src/registry/settings.ts'
import { pauseRollout, resumeRollout, revertRollout, skipNodes } from '../../src/rollouts/acts.ts'
import { type Databases, sqliteDatabases } from '../databases.ts'
import { type Cluster, clusterOn, nodeNames } from './cluster.ts'

describe('whatever happens to a rollout', () => {
  let databases: Databases
  let cluster: Cluster
  let runs = 0
  beforeAll(async () => {
    databases = await sqliteDatabases()
    // Thousands of edits, and none of them must outlive the power.
    await databases.registry.run('pragma synchronous = off')
    cluster = clusterOn(databases)
    await cluster.image('elsewhere')
  })
  afterAll(() => databases.close())

  const node = fc.nat({ max: 5 })
  const image = fc.constantFrom<Settings['image']>(undefined, null, 'elsewhere', '@1', '')
  const happening = fc.oneof(
    { weight: 6, arbitrary: fc.record({ kind: fc.constant('step' as const) }) },
    {
      weight: 8,
      arbitrary: fc.record({
        kind: fc.constant('boot' as const),
        node,
        outcome: fc.constantFrom('ready' as const, 'ready' as const, 'ready' as const, 'failed' as const, undefined),
      }),
    },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('edit' as const), node, image }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('tag' as const), node, tag: fc.constantFrom('r1', 'r2') }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('delete' as const), node }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('skip' as const), node }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom('pause' as const, 'resume' as const) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('current' as const), number: fc.constantFrom(2, 3, 4, 5) }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('clock' as const), minutes: fc.constantFrom(1, 16, 31) }) },
  )
  type Happening = typeof happening extends fc.Arbitrary<infer One> ? One : never
  const story = fc.record({
    images: fc.array(image, { minLength: 6, maxLength: 6 }),
    count: fc.integer({ min: 1, max: 6 }),
    luck: fc.constantFrom('good', 'bad', 'mixed'),
    waves: fc.constantFrom(['1', '50%'], ['2'], [], ['1', '2', '3']),
    maxFailed: fc.integer({ min: 0, max: 2 }),
    happenings: fc.array(happening, { minLength: 10, maxLength: 50 }),
  })
  type Story = typeof story extends fc.Arbitrary<infer One> ? One : never

  /** Tells a story to a new rollout of six nodes at most, and looks at it after each of its happenings. */
  async function tell(
    { images, count, luck, waves, maxFailed, happenings }: Story,
    look: (rollout: Rollout, all: Awaited<ReturnType<Cluster['own']>>) => void,
  ) {
    const { registry } = databases
    const prefix = `run${runs++}`
    const all = nodeNames(prefix, 6)
    await cluster.image(prefix, 5)
    const imageOf = (text: Settings['image']) => (text === '' || text?.startsWith('@') ? `${prefix}${text}` : text)
    // What each node would have if there were no rollout.
    const expected: Record<string, Settings | undefined> = {}
    const edit = async (name: string, change: (before: Settings) => Settings | undefined) => {
      await cluster.put([name], change)
      expected[name] = change(expected[name] ?? {})
    }
    const withImage =
      (value: Settings['image']) =>
      ({ image: _old, ...rest }: Settings) =>
        value === undefined ? rest : { ...rest, image: imageOf(value) }
    for (const [at, name] of all.entries()) await edit(name, () => withImage(images[at])({ tags: { rack: 'r0' } }))
    let current: number | null = 3
    const { id } = await cluster.start(`${prefix}@4`, all.slice(0, count).join(','), { waves, maxFailed })
    const read = () => getRollout(registry, id)
    const active = async () => ['running', 'paused'].includes((await read()).state)

    const happen = async (one: Happening) => {
      const name = 'node' in one ? (all[one.node] ?? '') : ''
      const gone = 'node' in one && expected[name] === undefined
      if (one.kind === 'step') return cluster.step()
      if (one.kind === 'clock') return cluster.forward(one.minutes)
      if (one.kind === 'current') {
        current = one.number
        return setCurrent(registry, cluster.editor(), prefix, one.number)
      }
      if (one.kind === 'pause' || one.kind === 'resume') {
        if (await active()) await (one.kind === 'pause' ? pauseRollout : resumeRollout)(registry, cluster.editor(), id)
        return
      }
      // A name that is free again may be taken.
      if (gone && one.kind !== 'edit') return
      if (one.kind === 'boot') {
        const lucky = one.outcome && (luck === 'good' ? 'ready' : luck === 'bad' ? 'failed' : one.outcome)
        return cluster.boot(name, await read(), lucky)
      }
      if (one.kind === 'edit') return edit(name, withImage(one.image))
      if (one.kind === 'tag') {
        // An edit of something else, which keeps the image, whosever it is.
        await cluster.put([name], (before) => ({ ...before, tags: { rack: one.tag } }))
        expected[name] = { ...expected[name], tags: { rack: one.tag } }
        return
      }
      if (one.kind === 'delete') return edit(name, () => undefined)
      if (one.kind === 'skip' && one.node < count && (await active()))
        await skipNodes(registry, cluster.editor(), id, name)
    }

    for (const one of happenings) {
      await happen(one)
      look(await read(), await cluster.own(all))
    }
    return { prefix, id, all, expected, current: () => current }
  }

  it('a revert leaves every node, and the image, as they were or as somebody else made them', async () => {
    const ends = new Set<string>()
    await fc.assert(
      fc.asyncProperty(story, async (told) => {
        const { registry } = databases
        const { prefix, id, all, expected, current } = await tell(told, () => {})
        ends.add((await getRollout(registry, id)).state)
        await revertRollout(cluster.services, cluster.editor(), id)
        expect(await cluster.own(all)).toEqual(expected)
        expect((await findImage(registry, prefix))?.current).toBe(current())
        expect((await getRollout(registry, id)).state).toBe('reverted')
      }),
      { numRuns: 100 },
    )
    expect([...ends].sort()).toEqual(['finished', 'paused', 'reverted', 'running'])
  }, 120_000)

  it('one wave is out at a time, and the next begins when all of its nodes are settled', async () => {
    await fc.assert(
      fc.asyncProperty(story, async (told) => {
        let before = 1
        const { id } = await tell(told, ({ plan, state, ...rollout }, own) => {
          const active = state === 'running' || state === 'paused'
          expect(plan.times.filter(({ endedAt }) => endedAt === undefined)).toHaveLength(active ? 1 : 0)
          // A wave that begins ends the one before in the same step.
          expect(plan.times.length - before).toBeLessThanOrEqual(1)
          before = plan.times.length
          const ended = plan.waves.slice(0, active ? plan.times.length - 1 : 0).flat()
          expect(ended.filter((one) => one.outcome === undefined && !one.skipped)).toEqual([])
          const queued = plan.waves.slice(plan.times.length).flat()
          expect(queued.filter(({ name }) => own[name]?.image === pinOf(rollout))).toEqual([])
        })
        await revertRollout(cluster.services, cluster.editor(), id)
      }),
      { numRuns: 50 },
    )
  }, 120_000)

  it('a version that boots nowhere gets to no more nodes than may fail and one wave', async () => {
    let reverted = 0
    await fc.assert(
      fc.asyncProperty(story, async (told) => {
        const happenings = told.happenings.filter(({ kind }) => kind !== 'skip')
        const { id } = await tell({ ...told, luck: 'bad', happenings }, ({ plan, ...rollout }, own) => {
          const has = Object.values(own).filter((settings) => settings?.image === pinOf(rollout)).length
          expect(has).toBeLessThanOrEqual(plan.maxFailed + (plan.waves[plan.times.length - 1]?.length ?? 0))
        })
        if ((await getRollout(databases.registry, id)).state === 'reverted') reverted++
        await revertRollout(cluster.services, cluster.editor(), id)
      }),
      { numRuns: 50 },
    )
    expect(reverted).toBeGreaterThan(0)
  }, 120_000)

  it('every node that is still in it when it finishes boots the version from then on', async () => {
    let finished = 0
    await fc.assert(
      fc.asyncProperty(story, async (told) => {
        const happenings = told.happenings.flatMap((one): Happening[] => {
          const ready: Happening[] = [0, 1, 2, 3, 4, 5].map((at) => ({ kind: 'boot', node: at, outcome: 'ready' }))
          return one.kind === 'boot' || one.kind === 'clock' ? [...ready, { kind: 'step' }] : [one]
        })
        const { id, prefix } = await tell({ ...told, luck: 'good', happenings: happenings.slice(0, 40) }, () => {})
        const rollout = await getRollout(databases.registry, id)
        // What people do to the image or a node after the end is theirs.
        const isLast = (await currentRevision(databases.registry)) === rollout.revision
        if (rollout.state === 'finished' && isLast) {
          finished++
          const current = (await findImage(databases.registry, prefix))?.current
          const { effective } = await imageUse(databases.registry)
          for (const { name, outcome } of rollout.plan.waves.flat()) {
            if (outcome === 'left') continue
            const booted = effective(name)
            expect(booted === prefix ? `${prefix}@${current}` : booted).toBe(`${prefix}@4`)
          }
        }
        await revertRollout(cluster.services, cluster.editor(), id)
      }),
      { numRuns: 50 },
    )
    expect(finished).toBeGreaterThan(0)
  }, 120_000)
})
