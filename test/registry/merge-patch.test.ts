import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { clearPaths, mergePatch } from '../../src/registry/merge-patch.ts'

describe('mergePatch', () => {
  // The table of RFC 7396, appendix A: original, patch, result.
  it.each([
    [{ a: 'b' }, { a: 'c' }, { a: 'c' }],
    [{ a: 'b' }, { b: 'c' }, { a: 'b', b: 'c' }],
    [{ a: 'b' }, { a: null }, {}],
    [{ a: 'b', b: 'c' }, { a: null }, { b: 'c' }],
    [{ a: ['b'] }, { a: 'c' }, { a: 'c' }],
    [{ a: 'c' }, { a: ['b'] }, { a: ['b'] }],
    [{ a: { b: 'c' } }, { a: { b: 'd', c: null } }, { a: { b: 'd' } }],
    [{ a: [{ b: 'c' }] }, { a: [1] }, { a: [1] }],
    [
      ['a', 'b'],
      ['c', 'd'],
      ['c', 'd'],
    ],
    [{ a: 'b' }, ['c'], ['c']],
    [{ a: 'foo' }, null, null],
    [{ a: 'foo' }, 'bar', 'bar'],
    [{ e: null }, { a: 1 }, { e: null, a: 1 }],
    [[1, 2], { a: 'b', c: null }, { a: 'b' }],
    [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
  ])('makes of %j with %j what RFC 7396 says', (target, patch, result) => {
    expect(mergePatch(target, patch)).toEqual(result)
  })

  it('changes neither of its arguments', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.jsonValue(), (target, patch) => {
        const before = JSON.stringify([target, patch])
        mergePatch(target, patch)
        expect(JSON.stringify([target, patch])).toBe(before)
      }),
    )
  })

  it('leaves everything as it is when it is applied a second time', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.jsonValue(), (target, patch) => {
        const once = mergePatch(target, patch)
        expect(mergePatch(once, patch)).toEqual(once)
      }),
    )
  })

  it('makes a member of the name __proto__ and touches no prototype', () => {
    const result = mergePatch({}, JSON.parse('{"__proto__": {"polluted": true}}'))
    expect(Object.hasOwn(result as object, '__proto__')).toBe(true)
    expect((result as Record<string, unknown>).polluted).toBeUndefined()
    expect(({} as Record<string, unknown>).polluted).toBeUndefined()
  })
})

describe('clearPaths', () => {
  it('stores null at each path and makes the maps on the way', () => {
    expect(
      clearPaths({ kernel: { args: ['quiet'], version: '5' } }, ['kernel.args', 'netdevs.eth0.mtu', 'ntp']),
    ).toEqual({
      kernel: { args: null, version: '5' },
      netdevs: { eth0: { mtu: null } },
      ntp: null,
    })
  })

  it('changes nothing that it was given, and no prototype', () => {
    const target = { kernel: { args: ['quiet'] } }
    clearPaths(target, ['kernel.args', '__proto__.polluted', 'constructor.prototype.polluted'])
    expect(target).toEqual({ kernel: { args: ['quiet'] } })
    expect(Object.hasOwn(Object.prototype, 'polluted')).toBe(false)
  })
})
