import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parseChallenges } from '../../src/sources/challenge.ts'

const read = (header: string) =>
  parseChallenges(header).map(({ scheme, params }) => [scheme, Object.fromEntries(params)])

describe('WWW-Authenticate', () => {
  it.each([
    ['Basic realm="a registry"', [['basic', { realm: 'a registry' }]]],
    [
      'Bearer realm="https://auth.example/token",service="registry.example",scope="repository:a/b:pull,push"',
      [
        [
          'bearer',
          { realm: 'https://auth.example/token', service: 'registry.example', scope: 'repository:a/b:pull,push' },
        ],
      ],
    ],
    [
      'Basic realm=a, Bearer realm="b"',
      [
        ['basic', { realm: 'a' }],
        ['bearer', { realm: 'b' }],
      ],
    ],
    [
      'Negotiate, Basic realm="x"',
      [
        ['negotiate', {}],
        ['basic', { realm: 'x' }],
      ],
    ],
    [
      'Negotiate YWJj==, Basic realm="x"',
      [
        ['negotiate', {}],
        ['basic', { realm: 'x' }],
      ],
    ],
    ['bearer REALM = "x" , Service=y', [['bearer', { realm: 'x', service: 'y' }]]],
    ['Basic realm="a \\"quoted\\" \\\\ name"', [['basic', { realm: 'a "quoted" \\ name' }]]],
    ['Basic realm=""', [['basic', { realm: '' }]]],
    [
      'Digest realm="a, b=c", nonce="d", Bearer realm="e"',
      [
        ['digest', { realm: 'a, b=c', nonce: 'd' }],
        ['bearer', { realm: 'e' }],
      ],
    ],
    [',, Basic realm="x",,', [['basic', { realm: 'x' }]]],
    ['', []],
    ['"nonsense"', []],
    ['Basic realm="not closed', [['basic', {}]]],
    ['Basic realm="x", Bearer realm="a", realm="b"', [['basic', { realm: 'x' }]]],
  ])('is read: %s', (header, challenges) => {
    expect(read(header)).toEqual(challenges)
  })

  it('is read whatever it is', () => {
    const unit = fc.constantFrom(...'aB=,"\\ \t;:é', 'Bearer ', 'realm="')
    fc.assert(fc.property(fc.string({ unit, maxLength: 200 }), (header) => void parseChallenges(header)))
  })

  it('of a name and a value comes back as they were', () => {
    const name = fc.string({ unit: fc.constantFrom(...'abcXYZ019-_.'), minLength: 1 })
    fc.assert(
      fc.property(name, fc.string(), name, (scheme, value, key) => {
        const quoted = value.replace(/[\\"]/g, '\\$&')
        expect(read(`${scheme} ${key}="${quoted}"`)).toEqual([[scheme.toLowerCase(), { [key.toLowerCase()]: value }]])
      }),
    )
  })
})
