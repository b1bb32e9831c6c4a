import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { AppError } from '../../src/errors.ts'
import { compareVersions, newestFirst, selectKernel } from '../../src/images/kernel-version.ts'

/** Oldest first. */
const ladder = [
  '4.18.0-553.el8_10.x86_64',
  '5.14.0-9.el9.x86_64',
  '5.14.0-70.el9.x86_64',
  '5.14.0-570.el9.x86_64',
  '5.14.0-570.12.1.el9_6.x86_64',
  '5.14.21-150400.24.100-default',
  '6.1.0-9-amd64',
  '6.1.0-18-amd64',
  '6.1.0-18-amd65',
  '6.10.0-rc3',
  '6.10.0-rc12',
  '6.10.0',
  '6.10.0-arch1-1',
  '6.10.0-1',
  '6.10.1',
]

describe('kernel versions', () => {
  test('are ordered as people read them', () => {
    for (const [at, older] of ladder.entries())
      for (const newer of ladder.slice(at + 1)) {
        expect(compareVersions(older, newer), `${older} < ${newer}`).toBeLessThan(0)
        expect(compareVersions(newer, older), `${newer} > ${older}`).toBeGreaterThan(0)
      }
  })

  test('have one order, whatever they are', () => {
    const part = fc.constantFrom('5', '14', '014', '0', 'rc', 'el', 'x', '.', '-', '+', '_', '9'.repeat(30))
    const version = fc.array(part, { maxLength: 7 }).map((parts) => parts.join(''))
    fc.assert(
      fc.property(version, version, version, (one, two, three) => {
        expect(Math.sign(compareVersions(one, two))).toBe(-Math.sign(compareVersions(two, one)) + 0)
        expect(compareVersions(one, two) === 0).toBe(one === two)
        const [least, middle, most] = [one, two, three].sort(compareVersions)
        expect(compareVersions(least!, most!)).toBeLessThanOrEqual(0)
        expect(compareVersions(least!, middle!)).toBeLessThanOrEqual(0)
      }),
      { numRuns: 2000 },
    )
  })

  test('put debug kernels last', () => {
    const versions = ['5.14.0-70.x86_64', '5.14.0-570.x86_64+debug', '5.14.0-570.x86_64', '6.1.0+64k-debug']
    expect(
      versions
        .map((version) => ({ version }))
        .sort(newestFirst)
        .map(({ version }) => version),
    ).toEqual(['5.14.0-570.x86_64', '5.14.0-70.x86_64', '6.1.0+64k-debug', '5.14.0-570.x86_64+debug'])
  })
})

describe('selecting a kernel', () => {
  const kernels = ['5.140.0', '5.14.0-570.12.1.el9', '5.14.0-570.el9', '5.14.0-70.el9', '6.2.0+debug'].map(
    (version) => ({
      version,
      path: `/boot/vmlinuz-${version}`,
    }),
  )
  test.each([
    ['nothing', undefined, '5.140.0'],
    ['an exact version', '5.14.0-70.el9', '5.14.0-70.el9'],
    ['a prefix, up to a boundary', '5.14', '5.14.0-570.12.1.el9'],
    ['a longer prefix', '5.14.0-570', '5.14.0-570.12.1.el9'],
    ['a prefix that is a version too', '5.14.0-570.el9', '5.14.0-570.el9'],
    ['a path', '/boot/vmlinuz-5.14.0-570.el9', '5.14.0-570.el9'],
    ['a debug kernel by name', '6.2', '6.2.0+debug'],
  ])('by %s', (_, wanted, version) => {
    expect(selectKernel(kernels, wanted).version).toBe(version)
  })

  test.each(['5.1', '5.14.0-5', '5.14.0-570.e', '', '.', '/boot/vmlinuz', '7'])(
    'fails for %j, naming it and what there is',
    (wanted) => {
      const select = () => selectKernel(kernels, wanted)
      expect(select).toThrow(AppError)
      expect(select).toThrow(
        expect.objectContaining({
          code: 'PLAN_IMPOSSIBLE',
          field: 'kernel.version',
          message: expect.stringContaining(wanted),
        }),
      )
      expect(select).toThrow('5.140.0 (/boot/vmlinuz-5.140.0), 5.14.0-570.12.1.el9')
    },
  )

  test('takes no debug kernel unless it is named', () => {
    expect(() => selectKernel(kernels.slice(-1))).toThrow('name one of 6.2.0+debug')
    expect(() => selectKernel([], '5')).toThrow('no kernel 5: there is none')
  })
})
