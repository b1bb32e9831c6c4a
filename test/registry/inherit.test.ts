import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { explain, inherit, lineage, type Member } from '../../src/registry/inherit.ts'
import { type Settings, settingsSchema } from '../../src/registry/settings.ts'

const member = (name: string, profiles: string[], settings: unknown = {}): Member => ({
  name,
  profiles,
  settings: settingsSchema.parse(settings),
})
const map = (...profiles: Member[]) => new Map(profiles.map((profile) => [profile.name, profile]))

/** What a node gets of profiles that apply one after the other. */
const effective = (own: unknown, ...below: unknown[]) => {
  const profiles = below.map((settings, at) => member(`p${at}`, [], settings))
  const names = profiles.map((profile) => profile.name)
  return inherit(member('n1', names, own), map(...profiles))
}

describe('lineage', () => {
  it('lists profiles in order, each after its own parents, each once', () => {
    const profiles = map(
      member('base', []),
      member('left', ['base']),
      member('right', ['base']),
      member('bottom', ['left', 'right']),
      member('last', []),
    )
    const names = lineage(member('n1', ['bottom', 'last', 'base']), profiles).map((profile) => profile.name)
    expect(names).toEqual(['base', 'left', 'right', 'bottom', 'last'])
  })

  it('climbs once, however many ways lead up', () => {
    const layers = Array.from({ length: 60 }, (_, at) =>
      ['a', 'b'].map((side) => member(`${side}${at}`, at === 0 ? [] : [`a${at - 1}`, `b${at - 1}`])),
    )
    expect(lineage(member('n1', ['a59']), map(...layers.flat()))).toHaveLength(119)
  })

  it.each([
    ['itself', map(member('a', ['a'])), 'a -> a'],
    ['one another', map(member('a', ['b']), member('b', ['a'])), 'a -> b -> a'],
    ['a circle further up', map(member('a', ['b']), member('b', ['c']), member('c', ['b'])), 'a -> b -> c -> b'],
  ])('refuses a profile that inherits from %s', (_label, profiles, circle) => {
    expect(() => lineage(member('n1', ['a']), profiles)).toThrow(
      expect.objectContaining({ code: 'PROFILE_CYCLE', message: expect.stringContaining(circle) }),
    )
  })

  it('names who lists a profile that is not there', () => {
    expect(() => lineage(member('n1', ['a']), map(member('a', ['gone'])))).toThrow(
      expect.objectContaining({ code: 'PROFILE_UNKNOWN', message: expect.stringMatching(/a lists profile gone/) }),
    )
  })
})

describe('inherit', () => {
  it('replaces scalars, later ones last, the node after all', () => {
    expect(effective({ image: 'c' }, { image: 'a', domain: 'x' }, { image: 'b' })).toEqual({ image: 'c', domain: 'x' })
  })

  it('appends lists, and takes out what ~ names', () => {
    const args = (...all: string[]) => ({ kernel: { args: all } })
    expect(effective(args('~quiet', 'debug'), args('quiet', 'ro'), args('net=1'))).toEqual(args('ro', 'net=1', 'debug'))
  })

  it('takes out every occurrence that came before, and none that comes after', () => {
    const args = (...all: string[]) => ({ kernel: { args: all } })
    expect(effective(args('~a', 'a'), args('a', 'b', 'a'))).toEqual(args('b', 'a'))
  })

  it('merges maps key by key, as deep as they go', () => {
    const result = effective(
      { netdevs: { eth0: { mac: '52:54:00:00:00:01' } }, tags: { row: '2' } },
      { netdevs: { eth0: { mtu: 9000 }, ib0: { type: 'infiniband' } }, tags: { rack: 'r1', row: '1' } },
    )
    expect(result).toEqual({
      netdevs: { eth0: { mtu: 9000, mac: '52:54:00:00:00:01' }, ib0: { type: 'infiniband' } },
      tags: { rack: 'r1', row: '2' },
    })
  })

  it('clears with null: a value, a map, and one key of a map', () => {
    const below = { image: 'a', kernel: { version: '5', args: ['x'] }, tags: { rack: 'r1', row: '1' } }
    expect(effective({ image: null }, below)).toEqual({ kernel: below.kernel, tags: below.tags })
    expect(effective({ kernel: null }, below)).toEqual({ image: 'a', tags: below.tags })
    expect(effective({ tags: { rack: null } }, below)).toEqual({ image: 'a', kernel: below.kernel, tags: { row: '1' } })
  })

  it('lets a later member set again what an earlier one cleared', () => {
    const args = (...all: string[]) => ({ kernel: { args: all } })
    expect(effective(args('c'), args('a'), { kernel: null })).toEqual(args('c'))
    expect(effective(args('c'), args('a'), { kernel: { args: null } })).toEqual(args('c'))
  })

  it('takes an order of root kinds and the value of a resource whole', () => {
    const below = { root: { kind: ['disk', 'tmpfs'] }, resources: { mounts: { '/home': 'nfs' }, list: [1, 2] } }
    const own = { root: { kind: ['zram'] }, resources: { mounts: { '/scratch': null }, list: [3] } }
    expect(effective(own, below)).toEqual({
      root: { kind: ['zram'] },
      resources: { mounts: { '/scratch': null }, list: [3] },
    })
  })

  it('says nothing of a map with nothing in it', () => {
    expect(effective({ kernel: {} }, { tags: { rack: 'r1' } }, { tags: { rack: null } })).toEqual({})
  })

  it('applies a profile that comes by two ways once, where it comes first', () => {
    const profiles = map(
      member('base', [], { kernel: { args: ['base'] } }),
      member('left', ['base'], { kernel: { args: ['left'] } }),
      member('right', ['base'], { kernel: { args: ['right'] } }),
    )
    const node = member('n1', ['left', 'right', 'base'])
    expect(inherit(node, profiles)).toEqual({ kernel: { args: ['base', 'left', 'right'] } })
  })
})

describe('explain', () => {
  const profiles = map(
    member('base', [], { image: 'rocky8', kernel: { args: ['quiet'], version: '4' }, domain: 'example' }),
    member('gpu', ['base'], { image: 'rocky9', kernel: { args: ['nouveau=off'] } }),
  )

  it('says who set each value, who added to each list, and what was hidden', () => {
    const node = member('n1', ['gpu'], { kernel: { args: ['debug'] }, domain: null })
    expect(explain(node, profiles)).toEqual([
      { field: 'domain', value: null, from: ['node:n1'], hidden: [{ from: 'profile:base', value: 'example' }] },
      { field: 'image', value: 'rocky9', from: ['profile:gpu'], hidden: [{ from: 'profile:base', value: 'rocky8' }] },
      {
        field: 'kernel.args',
        value: ['quiet', 'nouveau=off', 'debug'],
        from: ['profile:base', 'profile:gpu', 'node:n1'],
        hidden: [],
      },
      { field: 'kernel.version', value: '4', from: ['profile:base'], hidden: [] },
    ])
  })

  it('tells of each field of a map that was cleared, also when one of them is set again', () => {
    const node = member('n1', ['gpu', 'plain'], { kernel: { version: '5' } })
    const all = new Map(profiles).set('plain', member('plain', [], { kernel: null }))
    expect(explain(node, all).filter(({ field }) => field.startsWith('kernel'))).toEqual([
      {
        field: 'kernel.args',
        value: null,
        from: ['profile:plain'],
        hidden: [
          { from: 'profile:base', value: ['quiet', 'nouveau=off'] },
          { from: 'profile:gpu', value: ['quiet', 'nouveau=off'] },
        ],
      },
      { field: 'kernel.version', value: '5', from: ['node:n1'], hidden: [{ from: 'profile:base', value: '4' }] },
    ])
  })

  it('has the clearing of a map that was empty, until something is below it', () => {
    expect(explain(member('n1', [], { tags: null }), map())).toEqual([
      { field: 'tags', value: null, from: ['node:n1'], hidden: [] },
    ])
    const all = map(member('p', [], { tags: null }))
    expect(explain(member('n1', ['p'], { tags: { rack: 'r1' } }), all)).toEqual([
      { field: 'tags.rack', value: 'r1', from: ['node:n1'], hidden: [] },
    ])
  })
})

describe('inherit and explain, of any members', () => {
  const orNull = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: null })
  const some = <T>(shape: { [Key in keyof T]: fc.Arbitrary<T[Key]> }) => fc.record(shape, { requiredKeys: [] })
  const word = fc.constantFrom('a', 'b', 'c')
  const words = fc.array(fc.constantFrom('a', 'b', 'c', '~a', '~b'), { maxLength: 4 })
  const settings = some({
    image: orNull(word),
    domain: orNull(word),
    kernel: orNull(some({ version: orNull(word), args: orNull(words) })),
    root: orNull(some({ kind: orNull(fc.constantFrom('tmpfs', ['disk', 'zram'])), size: orNull(fc.constant('50%')) })),
    nameservers: orNull(fc.array(fc.constantFrom('10.0.0.1', '10.0.0.2', '~10.0.0.1'), { maxLength: 3 })),
    netdevs: orNull(
      fc.dictionary(
        word,
        orNull(some({ mtu: orNull(fc.constantFrom(1500, 9000)), tags: orNull(fc.dictionary(word, orNull(word))) })),
      ),
    ),
    tags: orNull(fc.dictionary(word, orNull(word))),
    resources: orNull(fc.dictionary(word, orNull(fc.constantFrom<unknown>({ x: null }, [1], 'text', {})))),
  }).map((one) => settingsSchema.parse(one))
  /** A node and profiles of which each may have any before it as parents: no circles. */
  const family = fc
    .array(fc.record({ settings, parents: fc.array(fc.nat(5), { maxLength: 3 }) }), { minLength: 1, maxLength: 6 })
    .map((drawn) => {
      const members = drawn.map(({ settings, parents }, at): Member => {
        const profiles = at === 0 ? [] : [...new Set(parents.map((parent) => `p${parent % at}`))]
        return { name: `p${at}`, profiles, settings }
      })
      const node: Member = { ...members.at(-1)!, name: 'n1' }
      return { node, profiles: map(...members.slice(0, -1)) }
    })

  const rebuilt = (explained: { field: string; value: unknown }[]) => {
    const whole: Record<string, unknown> = {}
    for (const { field, value } of explained) {
      if (value === null) continue
      const keys = field.split('.')
      let at = whole
      for (const key of keys.slice(0, -1)) {
        at[key] ??= {}
        at = at[key] as Record<string, unknown>
      }
      at[keys.at(-1)!] = value
    }
    return whole
  }

  it('rebuilds from the values of explain exactly what inherit gives', () => {
    fc.assert(
      fc.property(family, ({ node, profiles }) => {
        expect(rebuilt(explain(node, profiles))).toEqual(inherit(node, profiles))
      }),
      { numRuns: 1000 },
    )
  })

  it('names in explain only members that apply, and says each field once', () => {
    fc.assert(
      fc.property(family, ({ node, profiles }) => {
        const explained = explain(node, profiles)
        const origins = [...lineage(node, profiles).map(({ name }) => `profile:${name}`), 'node:n1']
        for (const one of explained) {
          expect(one.from.length).toBeGreaterThan(0)
          for (const from of [...one.from, ...one.hidden.map((hidden) => hidden.from)]) expect(origins).toContain(from)
        }
        const fields = explained.map(({ field }) => field)
        expect(fields).toEqual([...new Set(fields)].sort())
      }),
    )
  })

  it('gives the same twice, leaves no null, and changes nothing that it was given', () => {
    fc.assert(
      fc.property(family, ({ node, profiles }) => {
        const before = JSON.stringify([node, [...profiles]])
        const once = inherit(node, profiles)
        explain(node, profiles)
        expect(inherit(node, profiles)).toEqual(once)
        expect(JSON.stringify([node, [...profiles]])).toBe(before)
        const { resources: _any, ...ours } = once
        expect(JSON.stringify(ours)).not.toContain('null')
      }),
    )
  })

  it('gives settings that are settings', () => {
    fc.assert(
      fc.property(family, ({ node, profiles }) => {
        const settings: Settings = inherit(node, profiles)
        expect(settingsSchema.parse(settings)).toEqual(settings)
      }),
    )
  })
})
