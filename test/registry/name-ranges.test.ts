import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { expandName, foldNames } from '../../src/registry/name-ranges.ts'
import { expandNames } from '../../src/registry/selector.ts'

describe('expandName', () => {
  it.each([
    ['n1', ['n1']],
    ['n[1-3]', ['n1', 'n2', 'n3']],
    ['n[001-003,200]', ['n001', 'n002', 'n003', 'n200']],
    ['n[8-11]', ['n8', 'n9', 'n10', 'n11']],
    ['n[08-11]', ['n08', 'n09', 'n10', 'n11']],
    ['n[099-101]', ['n099', 'n100', 'n101']],
    ['n[7]', ['n7']],
    ['n[007]x', ['n007x']],
    ['r[1-2]n[01-02]', ['r1n01', 'r1n02', 'r2n01', 'r2n02']],
    ['n[ 1 - 2 , 5 ]', ['n1', 'n2', 'n5']],
    ['[1-2].example', ['1.example', '2.example']],
  ])('makes of %s %j', (text, names) => {
    expect(expandName(text)).toEqual(names)
  })

  it.each([
    ['n[]', /n\[\] has an empty range/],
    ['n[1,]', /has an empty range/],
    ['n[5-1]', /has the range 5-1, which is empty: the smaller number comes first/],
    ['n[a-c]', /has "a-c" in brackets: it must be a number or a range/],
    ['n[1-2-3]', /has "1-2-3" in brackets/],
    ['n[-3]', /has "-3" in brackets/],
    ['n[1-2', /has a bracket without its partner/],
    ['n1-2]', /has a bracket without its partner/],
    ['n[[1-2]]', /has a bracket without its partner/],
    ['n[1-9999999999999999999]', /in brackets/],
    ['n[1-100001]', /stands for 100001 names, and 100000 are the most/],
    ['a[1-1000]b[1-1000]c[1-1000]', /stands for 1000000000 names/],
  ])('refuses %s', (text, message) => {
    expect(() => expandName(text)).toThrow(
      expect.objectContaining({ code: 'SELECTOR_INVALID', message: expect.stringMatching(message) }),
    )
  })
})

describe('foldNames', () => {
  it.each([
    [['n001', 'n002', 'n003', 'n200'], 'n[001-003,200]'],
    [['n9', 'n10', 'n11'], 'n[9-11]'],
    [['n1', 'n01', 'n001'], 'n001,n01,n1'],
    [['login', 'n1'], 'login,n1'],
    [['r1n1', 'r1n2', 'r2n1'], 'r1n[1-2],r2n1'],
    [['b', 'a', 'a'], 'a,b'],
    [[], ''],
  ])('makes of %j %s', (names, text) => {
    expect(foldNames(names)).toBe(text)
  })

  it('gives names back that were expanded, whatever they are', () => {
    const digits = fc.oneof(
      fc.nat(30).map(String),
      fc.nat(120).map((number) => String(number).padStart(3, '0')),
      fc.constantFrom('', '0', '00', '1000000000000000'),
    )
    const name = fc.tuple(fc.constantFrom('n', 'gpu', 'r1-n', 'a.b', '7x'), digits).map((parts) => parts.join(''))
    fc.assert(
      fc.property(fc.uniqueArray(name, { minLength: 1, maxLength: 60 }), (names) => {
        expect(expandNames(foldNames(names)).sort()).toEqual([...names].sort())
      }),
      { numRuns: 1000 },
    )
  })
})
