import { describe, expect, it } from 'vitest'
import type { Outcome } from '../../src/boot/outcome.ts'
import type { OwnImage, RolloutNode } from '../../src/registry/rollouts.ts'
import { decide, judgeAll, judgeWave, type NodeState } from '../../src/rollouts/step.ts'
import { judged, minute, nodes, noon, rolloutOf } from './fixtures.ts'

describe('a node of the newest wave', () => {
  type Case = [
    label: string,
    boots: [minute: number, outcome: Outcome][],
    now: number,
    state: NodeState,
    why?: string | undefined,
    rest?: { own?: OwnImage; node?: Partial<RolloutNode>; gone?: boolean },
  ]
  const cases: Case[] = [
    ['that has not asked for its script', [], 9999, 'waiting'],
    ['that boots', [[1, 'running']], 2, 'booting'],
    ['that boots, one moment before its time is up', [[1, 'running']], 30.99, 'booting'],
    ['that is not ready in time', [[1, 'running']], 31, 'failed', 'it was not ready 30 min after its script'],
    ['that is ready', [[1, 'ready']], 2, 'ready'],
    ['that became ready after its time', [[1, 'ready']], 9999, 'ready'],
    ['that failed', [[1, 'failed']], 2, 'failed', 'its boot failed'],
    ['that went silent', [[1, 'silent']], 20, 'failed', 'nothing was heard of its boot any more'],
    [
      'that failed and boots again',
      [
        [1, 'failed'],
        [2, 'running'],
      ],
      3,
      'failed',
      'its boot failed',
    ],
    [
      'that failed and is ready by now',
      [
        [1, 'failed'],
        [2, 'ready'],
      ],
      3,
      'ready',
    ],
    [
      'whose first boot was cut short by a second',
      [
        [1, 'silent'],
        [20, 'running'],
      ],
      40,
      'booting',
    ],
    [
      'whose second boot is late, counted from its own script',
      [
        [1, 'silent'],
        [20, 'running'],
      ],
      50,
      'failed',
      'it was not ready 30 min after its script',
    ],
    [
      'that asks for its script the third time',
      [
        [1, 'running'],
        [3, 'running'],
        [5, 'running'],
      ],
      5,
      'failed',
      'it asked for its script 3 times without getting ready',
    ],
    [
      'that asked three times and got ready',
      [
        [1, 'running'],
        [3, 'running'],
        [5, 'ready'],
      ],
      6,
      'ready',
    ],
    [
      'that was ready and boots once more',
      [
        [1, 'ready'],
        [5, 'running'],
      ],
      6,
      'ready',
    ],
    [
      'that was ready and fails at its next boot',
      [
        [1, 'ready'],
        [5, 'failed'],
      ],
      6,
      'failed',
      'its boot failed',
    ],
    ['that nobody waits for', [], 1, 'skipped', undefined, { node: { skipped: true } }],
    ['that nobody waits for and that boots', [[1, 'running']], 2, 'skipped', undefined, { node: { skipped: true } }],
    ['that nobody waits for and that failed', [[1, 'failed']], 2, 'skipped', undefined, { node: { skipped: true } }],
    ['that nobody waits for and that is ready', [[1, 'ready']], 2, 'ready', undefined, { node: { skipped: true } }],
    [
      'that somebody gave another image',
      [[1, 'failed']],
      2,
      'left',
      "its own image is rocky9@3 by somebody else's hand",
      { own: 'rocky9@3' },
    ],
    [
      'whose own image somebody took away',
      [[1, 'ready']],
      2,
      'left',
      "its own image is none by somebody else's hand",
      { own: undefined },
    ],
    ['whose image somebody cleared', [], 2, 'left', "its own image is none by somebody else's hand", { own: null }],
    ['that was deleted', [[1, 'ready']], 2, 'left', 'it was deleted', { gone: true }],
    [
      'that was left alone when its wave began',
      [],
      2,
      'left',
      'it was deleted',
      { node: { outcome: 'left', why: 'it was deleted' } },
    ],
  ]

  it.each(cases)('%s', (_label, boots, now, state, why, rest = {}) => {
    const own = new Map<string, OwnImage>(rest.gone ? [] : [['n1', 'own' in rest ? rest.own : 'rocky9@4']])
    const known = {
      own,
      boots: new Map([['n1', boots.map(([at, outcome]) => ({ startedAt: minute(at), outcome }))]]),
      now: minute(now),
    }
    const node = { name: 'n1', ...rest.node }
    expect(judgeWave(rolloutOf([[node], nodes('n2')]), known)).toEqual([
      { name: 'n1', state, ...(why !== undefined && { why }) },
    ])
  })

  it('has as many seconds as the rollout gives it', () => {
    const known = {
      own: new Map([['n1', 'rocky9@4']]),
      boots: new Map([['n1', [{ startedAt: noon, outcome: 'running' as const }]]]),
      now: minute(1.5),
    }
    expect(judgeWave(rolloutOf([nodes('n1')], { readySeconds: 90 }), known)).toEqual([
      { name: 'n1', state: 'failed', why: 'it was not ready 90 s after its script' },
    ])
  })
})

describe('nodes of all waves', () => {
  it('are told by what was written down, what is known of the newest wave, and whether theirs has begun', () => {
    const waves: RolloutNode[][] = [
      [
        { name: 'n1', outcome: 'ready' },
        { name: 'n2', outcome: 'failed', why: 'its boot failed' },
        { name: 'n3', outcome: 'failed', skipped: true },
        { name: 'n4', skipped: true },
        { name: 'n5', outcome: 'left', why: 'it was deleted' },
      ],
      nodes('n6'),
      [...nodes('n7'), { name: 'n8', skipped: true }],
    ]
    expect(judgeAll(rolloutOf(waves, { begun: 2 }), judged({ booting: ['n6'] }))).toEqual([
      [
        { name: 'n1', state: 'ready' },
        { name: 'n2', state: 'failed', why: 'its boot failed' },
        { name: 'n3', state: 'skipped' },
        { name: 'n4', state: 'skipped' },
        { name: 'n5', state: 'left', why: 'it was deleted' },
      ],
      [{ name: 'n6', state: 'booting' }],
      [
        { name: 'n7', state: 'queued' },
        { name: 'n8', state: 'queued' },
      ],
    ])
  })
})

describe('what comes next', () => {
  const two = [nodes('n1', 'n2', 'n3'), nodes('n4')]
  it.each([
    ['a node is waiting', { ready: ['n1', 'n2'], waiting: ['n3'] }, 'wait'],
    ['a node boots', { ready: ['n1', 'n2'], booting: ['n3'] }, 'wait'],
    ['all are ready', { ready: ['n1', 'n2', 'n3'] }, 'begin'],
    ['the rest is skipped or left alone', { ready: ['n1'], skipped: ['n2'], left: ['n3'] }, 'begin'],
    ['nobody is left to wait for', { skipped: ['n1', 'n2'], left: ['n3'] }, 'begin'],
    ['one failed, which is one too many', { failed: ['n1'], waiting: ['n2', 'n3'] }, 'revert'],
  ] as const)('when %s', (_label, states, kind) => {
    expect(decide(rolloutOf(two), judged(states as never)).kind).toBe(kind)
  })

  it.each([
    ['one failure of two that may', { failed: ['n1'], ready: ['n2', 'n3'] }, 'begin'],
    ['two of two', { failed: ['n1', 'n2'], ready: ['n3'] }, 'begin'],
    ['three of two', { failed: ['n1', 'n2', 'n3'] }, 'revert'],
    ['two failures and no node that is ready', { failed: ['n1', 'n2'], skipped: ['n3'] }, 'wait'],
    ['two failures and one under way', { failed: ['n1', 'n2'], booting: ['n3'] }, 'wait'],
  ] as const)('with %s', (_label, states, kind) => {
    expect(decide(rolloutOf(two, { maxFailed: 2 }), judged(states as never)).kind).toBe(kind)
  })

  it('counts the failures of earlier waves, but not of nodes that were skipped', () => {
    const first: RolloutNode[] = [
      { name: 'n1', outcome: 'failed' },
      { name: 'n2', outcome: 'failed', skipped: true },
    ]
    const rollout = rolloutOf([first, nodes('n3', 'n4')], { begun: 2, maxFailed: 1 })
    expect(decide(rollout, judged({ ready: ['n3', 'n4'] })).kind).toBe('finish')
    expect(decide(rollout, judged({ failed: ['n3'], ready: ['n4'] }))).toMatchObject({
      kind: 'revert',
      failed: [{ name: 'n1' }, { name: 'n3' }],
    })
  })

  it('is the end when the last wave is ready', () => {
    expect(decide(rolloutOf([nodes('n1')]), judged({ ready: ['n1'] })).kind).toBe('finish')
  })

  it('is nothing while it is paused, unless too many fail', () => {
    const paused = rolloutOf(two, { state: 'paused' })
    expect(decide(paused, judged({ ready: ['n1', 'n2', 'n3'] })).kind).toBe('wait')
    expect(decide(paused, judged({ failed: ['n1'], ready: ['n2', 'n3'] })).kind).toBe('revert')
  })

  it('is the first wave when none has begun', () => {
    expect(decide(rolloutOf(two, { begun: 0 }), []).kind).toBe('begin')
  })
})
