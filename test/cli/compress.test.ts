import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { compressNames } from '../../src/cli/compress.ts'
import { expandNames } from '../../src/registry/selector.ts'

describe('compressNames', () => {
  it.each([
    ['nothing', [], ''],
    ['one name', ['n001'], 'n001'],
    ['a run', ['n001', 'n002', 'n003'], 'n[001-003]'],
    ['a run with a gap', ['n200', 'n001', 'n002'], 'n[001-002,200]'],
    ['widths that grow', ['n9', 'n10', 'n11'], 'n[9-11]'],
    ['the same number in two widths', ['n1', 'n01', 'n02', 'n2'], 'n[1,01,2,02]'],
    ['names with a domain', ['n1.cluster7', 'n2.cluster7', 'n2.cluster8'], 'n2.cluster8,n[1-2].cluster7'],
    ['numbers inside names', ['r1n01', 'r1n02', 'r2n01'], 'r1n[01-02],r2n01'],
    ['names without numbers', ['login', 'admin', 'login'], 'admin,login'],
  ])('writes %s', (_name, names, text) => {
    expect(compressNames(names)).toBe(text)
  })

  it('means exactly the names that it was made from', () => {
    const label = fc.stringMatching(/^[a-z][a-z-]{0,2}$/).map((text) => text.replace(/-+$/, ''))
    const digits = fc.oneof(
      fc.nat(30).map(String),
      fc.nat(1100).map((number) => String(number).padStart(3, '0')),
      fc.stringMatching(/^[0-9]{1,20}$/),
      fc.constant(''),
    )
    const name = fc
      .tuple(label, digits, fc.constantFrom('', 'a', '-x', 'b7'), fc.constantFrom('', '.c1', '.lan'))
      .map((parts) => parts.join(''))
    fc.assert(
      fc.property(fc.uniqueArray(name, { minLength: 1, maxLength: 60 }), (names) => {
        expect(expandNames(compressNames(names)).sort()).toEqual([...names].sort())
      }),
      { numRuns: 500 },
    )
  })

  it('takes ten thousand names in one short text', () => {
    const names = Array.from({ length: 10_000 }, (_, index) => `n${String(index).padStart(5, '0')}`)
    expect(compressNames(names)).toBe('n[00000-09999]')
  })
})
