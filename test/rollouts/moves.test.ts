import { describe, expect, it } from 'vitest'
import type { OwnImage } from '../../src/registry/rollouts.ts'
import { beginWave, finish, type Surroundings, takeBack } from '../../src/rollouts/moves.ts'
import { imagesOf, judged, minute, nodes, rolloutOf } from './fixtures.ts'

const own = (images: Record<string, OwnImage>) => new Map(Object.entries(images))
const pin = 'rocky9@4'

describe('a wave that begins', () => {
  it('gives its nodes the version, and writes down what came of the wave before', () => {
    const move = beginWave(
      rolloutOf([nodes('n1', 'n2', 'n3'), [{ name: 'n4', before: 'rocky9@2' }, ...nodes('n5')]], { maxFailed: 1 }),
      [...judged({ ready: ['n1'], skipped: ['n3'] }), { name: 'n2', state: 'failed', why: 'its boot failed' }],
      own({ n4: 'rocky9@2', n5: undefined }),
      minute(9),
    )
    expect(imagesOf(move)).toEqual({ n4: pin, n5: pin })
    expect(move.state).toBe('running')
    expect(move.plan.waves).toEqual([
      [{ name: 'n1', outcome: 'ready' }, { name: 'n2', outcome: 'failed', why: 'its boot failed' }, { name: 'n3' }],
      [{ name: 'n4', before: 'rocky9@2' }, { name: 'n5' }],
    ])
    expect(move.plan.times).toEqual([
      { begunAt: minute(0).getTime(), endedAt: minute(9).getTime() },
      { begunAt: minute(9).getTime() },
    ])
  })

  it('leaves nodes alone that were edited or deleted since the rollout began', () => {
    const move = beginWave(
      rolloutOf([nodes('n1', 'n2', 'n3')], { begun: 0 }),
      [],
      own({ n1: undefined, n2: 'debian12' }),
      minute(0),
    )
    expect(imagesOf(move)).toEqual({ n1: pin })
    expect(move.plan.waves).toEqual([
      [
        { name: 'n1' },
        { name: 'n2', outcome: 'left', why: "its own image is debian12 by somebody else's hand" },
        { name: 'n3', outcome: 'left', why: 'it was deleted' },
      ],
    ])
  })

  it('takes in a node that somebody gave the version already, and a revert leaves it that', () => {
    const rollout = rolloutOf([nodes('n1')], { begun: 0 })
    const { plan, state, images } = beginWave(rollout, [], own({ n1: pin }), minute(0))
    expect([plan.waves, images.size]).toEqual([[[{ name: 'n1', before: pin }]], 0])
    const back = takeBack(
      { ...rollout, plan, state },
      { newest: [], own: own({ n1: pin }), current: 3, reason: 'so', now: minute(1) },
    )
    expect(imagesOf(back)).toEqual({ n1: pin })
  })
})

describe('a rollout that is taken back', () => {
  it('gives each node what it had, and leaves alone whom others edited or whose wave has not begun', () => {
    const waves = [
      [{ name: 'n1', before: 'rocky9@2' }, { name: 'n2', before: null }, ...nodes('n3', 'n4', 'n5')],
      nodes('n6'),
    ]
    const move = takeBack(rolloutOf(waves), {
      newest: judged({ failed: ['n3'], left: ['n4', 'n5'] }),
      own: own({ n1: pin, n2: pin, n3: pin, n4: 'rocky9@3' }),
      current: 3,
      reason: 'somebody said so',
      now: minute(3),
    })
    expect(imagesOf(move)).toEqual({ n1: 'rocky9@2', n2: null, n3: undefined })
    expect([move.state, move.plan.reason, 'current' in move]).toEqual(['reverted', 'somebody said so', false])
    expect(move.plan.waves[0]?.map(({ outcome }) => outcome)).toEqual([undefined, undefined, 'failed', 'left', 'left'])
    expect(move.plan.times).toEqual([{ begunAt: minute(0).getTime(), endedAt: minute(3).getTime() }])
  })

  it('gives the image back its current version when the end had changed it', () => {
    const rollout = rolloutOf([nodes('n1', 'n2')], { state: 'finished', promoted: { from: 3 } })
    const facts = { newest: [], own: own({ n1: undefined, n2: pin }), reason: 'so', now: minute(3) }
    const move = takeBack(rollout, { ...facts, current: 4 })
    expect([imagesOf(move), move.current]).toEqual([{ n2: undefined }, 3])
    expect(move.plan.promoted).toBeUndefined()
    expect(move.plan.waves[0]?.some(({ outcome }) => outcome === 'left')).toBe(false)
  })

  it('leaves the current version alone when somebody has changed it since', () => {
    const rollout = rolloutOf([nodes('n1')], { state: 'finished', promoted: { from: 3 } })
    const move = takeBack(rollout, {
      newest: [],
      own: own({ n1: undefined }),
      current: 5,
      reason: 'so',
      now: minute(3),
    })
    expect('current' in move).toBe(false)
    expect(move.plan.reason).toBe("so; the current version of rocky9 is 5 by somebody else's hand and stays")
  })
})

describe('a rollout that ends', () => {
  const rollout = rolloutOf([nodes('n1'), [{ name: 'n2', before: 'rocky9@2' }]], { begun: 2 })
  const around = (changes: Partial<Surroundings> = {}) => ({
    newest: judged({ ready: ['n2'] }),
    own: own({ n1: pin, n2: pin }),
    current: 3,
    others: [],
    effective: (_node: string, image: OwnImage) => (image === undefined ? 'rocky9' : (image ?? undefined)),
    now: minute(9),
    ...changes,
  })

  it('makes the version the current one when nobody else notices, and keeps what would be undone', () => {
    const move = finish(rollout, around())
    expect([imagesOf(move), move.current, move.plan.promoted]).toEqual([{ n1: undefined }, 4, { from: 3 }])
    expect([move.state, move.plan.reason]).toEqual([
      'finished',
      '4 is the current version of rocky9 now, and its nodes have their own settings of before; rocky9@4 stays the own image of n2',
    ])
    expect(move.plan.waves[1]).toEqual([{ name: 'n2', before: 'rocky9@2', outcome: 'ready' }])
  })

  it.each([
    ['others would notice', { others: ['x1', 'x2'] }, 'x[1-2] use rocky9 without a version, too'],
    ['somebody changed it meanwhile', { current: 5 }, "the current version of rocky9 is 5 by somebody else's hand"],
    [
      'none of its nodes would follow it',
      { effective: () => 'debian12' },
      'none of them used rocky9 without a version',
    ],
  ])('leaves the current version alone when %s', (_label, changes: Partial<Surroundings>, why) => {
    const move = finish(rollout, around(changes))
    expect([move.images.size, 'current' in move, move.plan.promoted]).toEqual([0, false, undefined])
    expect(move.plan.reason).toBe(`rocky9@4 stays the own image of its nodes: ${why}`)
  })

  it('puts settings back when the version is the current one already', () => {
    const move = finish(rollout, around({ current: 4 }))
    expect([imagesOf(move), move.current]).toEqual([{ n1: undefined }, 4])
  })

  it('says whom others edited, and leaves these alone', () => {
    const move = finish(rollout, { ...around(), own: own({ n1: 'debian12' }) })
    expect(move.plan.waves.flat().map(({ outcome }) => outcome)).toEqual(['left', 'left'])
    expect(move.images.size).toBe(0)
  })
})
