import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Facts, matches } from '../../src/registry/select.ts'
import { expandNames, parseSelector, type Selector } from '../../src/registry/selector.ts'

type Machine = { name: string; profiles: string[]; tags: Record<string, string>; image?: string }

const factsOf = ({ name, profiles, tags, image }: Machine): Facts => ({
  name,
  profiles: () => new Set(profiles),
  tags: () => tags,
  image: () => image,
})

const cluster: Machine[] = [
  { name: 'n001', profiles: ['default'], tags: { rack: 'r1' }, image: 'rocky9' },
  { name: 'n002', profiles: ['default'], tags: { rack: 'r2' }, image: 'rocky9@3' },
  { name: 'n010', profiles: ['default', 'big'], tags: { rack: 'r1', note: 'a, b (c) & "d"' }, image: 'rocky8' },
  { name: 'gpu1', profiles: ['default', 'gpu'], tags: { rack: 'r2', gpu: 'a100' }, image: 'rocky9' },
  { name: 'gpu2', profiles: ['default', 'gpu'], tags: { gpu: 'h100' } },
  { name: 'login', profiles: [], tags: { constructor: 'mine' } },
]

const select = (text: string) => {
  const selector = parseSelector(text)
  return cluster.filter((machine) => matches(selector, factsOf(machine))).map((machine) => machine.name)
}

describe('a selector', () => {
  it.each([
    ['n001', ['n001']],
    ['n[001-002]', ['n001', 'n002']],
    ['n[001-002,010],login', ['n001', 'n002', 'n010', 'login']],
    ['*', ['n001', 'n002', 'n010', 'gpu1', 'gpu2', 'login']],
    ['gpu*', ['gpu1', 'gpu2']],
    ['n0?0', ['n010']],
    ['n0?', []],
    ['*[1-2]', ['n001', 'n002', 'gpu1', 'gpu2']],
    ['profile:gpu', ['gpu1', 'gpu2']],
    ['tag:rack', ['n001', 'n002', 'n010', 'gpu1']],
    ['tag:rack=r1', ['n001', 'n010']],
    ['tag:rack=r', []],
    ['tag:note="a, b (c) & \\"d\\""', ['n010']],
    ['tag:toString', []],
    ['tag:constructor', ['login']],
    ['image:rocky9', ['n001', 'n002', 'gpu1']],
    ['image:rocky9@3', ['n002']],
    ['image:rocky', []],
    ['!gpu*', ['n001', 'n002', 'n010', 'login']],
    ['n*&tag:rack=r1', ['n001', 'n010']],
    ['n* & !n001', ['n002', 'n010']],
    ['n*!n001', ['n002', 'n010']],
    ['login,gpu*&tag:rack=r2', ['gpu1', 'login']],
    ['(login,gpu*)&!tag:rack=r2', ['gpu2', 'login']],
    ['!!login', ['login']],
    ['!(n*,gpu*)', ['login']],
    ['profile:default&(tag:gpu=h100,image:rocky8)', ['n010', 'gpu2']],
  ])('%s means %j', (text, names) => {
    expect(select(text)).toEqual(names)
  })

  it.each([
    ['', /there is nothing: \* means every node at character 1/],
    ['   ', /there is nothing/],
    ['n[]', /empty range/],
    ['n[5-1]', /5-1, which is empty/],
    ['n001,', /a name is missing at character 6/],
    [',n001', /a name is missing at character 1/],
    ['n001,,n002', /a name is missing at character 6/],
    ['n001&', /a name is missing at character 6/],
    ['!', /a name is missing at character 2/],
    ['n001 n002', /a comma or & is missing at character 6/],
    ['(n001', /a \) is missing at character 6/],
    ['n001)', /a \) without its \( at character 5/],
    ['()', /a name is missing at character 2/],
    ['n[001-002', /bracket without its partner/],
    ['rack:r1', /rack: is no kind of selector \(profile:, tag: and image: are\) at character 1/],
    ['profile:', /a profile is missing/],
    ['tag:', /a tag is missing/],
    ['tag:=r1', /a tag is missing/],
    ['image:', /an image is missing/],
    ['tag:note="a', /a value begins and ends with a double quote/],
    ['n001/etc', /"\/" cannot be in a name/],
    ['nödes', /"ö" cannot be in a name/],
    ['n[1-60000],m[1-60000]', /more than 100000 names/],
    ['*[1-5000]', /more than 1000 patterns/],
    [`${'('.repeat(5000)}n1${')'.repeat(5000)}`, /more than 100 levels/],
    ['!'.repeat(5000), /more than 100 levels/],
    ['n'.repeat(70_000), /at most 65536 characters/],
  ])('refuses %j and says where', (text, message) => {
    expect(() => parseSelector(text)).toThrow(
      expect.objectContaining({ code: 'SELECTOR_INVALID', message: expect.stringMatching(message) }),
    )
  })

  it('with many stars does not try every way in which they could nearly match', () => {
    const glob = parseSelector(`${'*a'.repeat(100)}b`)
    const facts = factsOf({ name: 'a'.repeat(253), profiles: [], tags: {} })
    expect(matches(glob, facts)).toBe(false)
  })
})

describe('expandNames', () => {
  it('lists names once, in order', () => {
    expect(expandNames('n[2-3],login,n[3-4]')).toEqual(['n2', 'n3', 'login', 'n4'])
  })

  it.each(['n*', '!n1', 'n1&n2', 'profile:gpu', '(n1,n2)&n1', '*'])('refuses %s, which names nobody new', (text) => {
    expect(() => expandNames(text)).toThrow(expect.objectContaining({ code: 'SELECTOR_INVALID' }))
  })
})

describe('any selector', () => {
  /** A selector as its author thinks of it: one that can be printed, and evaluated without any of our code. */
  type Thought =
    | { is: string; means: (machine: Machine) => boolean }
    | { not: Thought }
    | { any: Thought[] }
    | { all: Thought[] }

  const names = ['n1', 'n2', 'n10', 'n11', 'gpu1', 'gpu01']
  const values = ['r1', 'r 1', 'a,b', '(x)', '"', '\\', 'é', '']
  const machine: fc.Arbitrary<Machine> = fc.record(
    {
      name: fc.constantFrom(...names),
      profiles: fc.subarray(['default', 'gpu']),
      tags: fc.dictionary(fc.constantFrom('rack', 'row'), fc.constantFrom(...values), { noNullPrototype: true }),
      image: fc.constantFrom('rocky9', 'rocky9@3', 'rocky8'),
    },
    { requiredKeys: ['name', 'profiles', 'tags'] },
  )
  const quoted = (value: string) => `"${value.replaceAll(/["\\]/g, '\\$&')}"`
  const leaf: fc.Arbitrary<Thought> = fc.oneof(
    fc.constantFrom(...names).map((name): Thought => ({ is: name, means: (one) => one.name === name })),
    fc.constant<Thought>({ is: 'n[1-2,10]', means: ({ name }) => ['n1', 'n2', 'n10'].includes(name) }),
    fc.constant<Thought>({ is: 'gpu*', means: ({ name }) => name.startsWith('gpu') }),
    fc.constant<Thought>({ is: 'n1?', means: ({ name }) => /^n1.$/.test(name) }),
    fc.constantFrom('default', 'gpu', 'none').map(
      (profile): Thought => ({
        is: `profile:${profile}`,
        means: ({ profiles }) => profiles.includes(profile),
      }),
    ),
    fc
      .constantFrom('rack', 'row')
      .map((key): Thought => ({ is: `tag:${key}`, means: ({ tags }) => tags[key] !== undefined })),
    fc.tuple(fc.constantFrom('rack', 'row'), fc.constantFrom(...values)).map(
      ([key, value]): Thought => ({
        is: `tag:${key}=${quoted(value)}`,
        means: ({ tags }) => tags[key] === value,
      }),
    ),
    fc.constantFrom('rocky9', 'rocky9@3').map(
      (image): Thought => ({
        is: `image:${image}`,
        means: (one) => one.image === image || (one.image ?? '').startsWith(`${image}@`),
      }),
    ),
  )
  const thought = fc.letrec<{ thought: Thought }>((tie) => ({
    thought: fc.oneof(
      { maxDepth: 5 },
      leaf,
      tie('thought').map((not): Thought => ({ not })),
      fc.array(tie('thought'), { minLength: 1, maxLength: 3 }).map((any): Thought => ({ any })),
      fc.array(tie('thought'), { minLength: 1, maxLength: 3 }).map((all): Thought => ({ all })),
    ),
  })).thought

  const print = (one: Thought): string => {
    if ('is' in one) return one.is
    if ('not' in one) return `!${'is' in one.not || 'not' in one.not ? print(one.not) : `(${print(one.not)})`}`
    if ('any' in one) return one.any.map((part) => ('any' in part ? `(${print(part)})` : print(part))).join(', ')
    return one.all.map((part) => ('any' in part || 'all' in part ? `(${print(part)})` : print(part))).join(' & ')
  }
  const holds = (one: Thought, of: Machine): boolean => {
    if ('is' in one) return one.means(of)
    if ('not' in one) return !holds(one.not, of)
    return 'any' in one ? one.any.some((part) => holds(part, of)) : one.all.every((part) => holds(part, of))
  }

  it('means what its author thought, once printed and parsed', () => {
    fc.assert(
      fc.property(thought, fc.array(machine, { minLength: 1, maxLength: 10 }), (meant, machines) => {
        const selector: Selector = parseSelector(print(meant))
        for (const one of machines) expect(matches(selector, factsOf(one))).toBe(holds(meant, one))
      }),
      { numRuns: 2000 },
    )
  })

  it('is parsed or refused, whatever the text', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(...'n1,&!()[]-*?:="\\ tagprofileimage') }), (text) => {
        try {
          parseSelector(text)
        } catch (error) {
          expect(error).toMatchObject({ code: 'SELECTOR_INVALID' })
        }
      }),
      { numRuns: 5000 },
    )
  })
})
