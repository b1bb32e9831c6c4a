import { describe, expect, it } from 'vitest'
import { type Change, diffLines } from '../../src/cli/diff.ts'
import { printer } from '../../src/cli/io.ts'

function textOf(changes: readonly Change[]): string {
  const written: (string | Uint8Array)[] = []
  const { line } = printer({ write: (text) => written.push(text) }, {})
  for (const parts of diffLines(changes)) line(...parts)
  return written.join('')
}

describe('diffLines', () => {
  it('puts nodes that change alike under one header', () => {
    const change = (name: string, args: string[]): Change => ({
      name,
      before: { profiles: [], settings: { kernel: { args } } },
      after: { profiles: [], settings: { kernel: { args: ['quiet', 'console=ttyS0'] } } },
    })
    const quiet = Array.from({ length: 10 }, (_, index) => change(`n${String(index + 1).padStart(3, '0')}`, ['quiet']))
    expect(textOf([...quiet, change('n200', ['quiet']), change('gpu1', ['ro'])])).toBe(
      [
        'n[001-010,200]',
        '  kernel.args: [quiet] → [quiet, console=ttyS0]',
        'gpu1',
        '  kernel.args: [ro] → [quiet, console=ttyS0]',
        '',
      ].join('\n'),
    )
  })

  it('says what appears, what goes, what is cleared, and what is new or deleted as a whole', () => {
    const settings = { image: 'rocky9', tags: { rack: 'r1' }, resources: { mounts: { a: 1 } } }
    expect(
      textOf([
        {
          name: 'n1',
          before: { profiles: ['a'], settings },
          after: { profiles: ['a', 'b'], settings: { image: null, domain: 'c', resources: { mounts: { a: 2 } } } },
        },
        { name: 'n2', before: null, after: { profiles: [], settings: { image: 'rocky9' } } },
        { name: 'n3', before: { profiles: [], settings: { image: 'rocky9' } }, after: null },
      ]),
    ).toBe(
      [
        'n1',
        '  profiles: [a] → [a, b]',
        '  image: rocky9 → (cleared)',
        '  domain: (none) → c',
        '  resources.mounts: {"a":1} → {"a":2}',
        '  tags.rack: r1 → (none)',
        'n2 (new)',
        '  image: (none) → rocky9',
        'n3 (deleted)',
        '  image: rocky9 → (none)',
        '',
      ].join('\n'),
    )
  })
})
