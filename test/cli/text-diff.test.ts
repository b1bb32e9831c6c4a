import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type DiffLine, textDiff } from '../../src/cli/text-diff.ts'
import { emptyDirectory } from './muster.ts'

const printed = (lines: DiffLine[]) =>
  lines.map(({ sign, text }) => (sign === '@' ? text : `${sign}${text}`)).join('\n')
const lines = (...numbers: number[]) => numbers.map((number) => `${number}\n`).join('')
const upTo = (last: number) => Array.from({ length: last }, (_, at) => at + 1)

describe('a diff of two texts', () => {
  it('is nothing for the same text', () => {
    expect(textDiff('a\nb', 'a\nb')).toEqual([])
    expect(textDiff('', '')).toEqual([])
  })

  it('shows three lines around a change', () => {
    const before = lines(...upTo(20))
    expect(printed(textDiff(before, before.replace('10\n', 'ten\n')))).toBe(
      ['@@ -7,7 +7,7 @@', ' 7', ' 8', ' 9', '-10', '+ten', ' 11', ' 12', ' 13'].join('\n'),
    )
  })

  it('has one hunk for what is close, and two for what is not', () => {
    const before = lines(...upTo(40))
    const heads = (after: string) => textDiff(before, after).flatMap(({ sign, text }) => (sign === '@' ? [text] : []))
    expect(heads(before.replace('5\n', 'x\n').replace('12\n', 'y\n'))).toEqual(['@@ -2,14 +2,14 @@'])
    expect(heads(before.replace('5\n', 'x\n').replace('30\n', ''))).toEqual(['@@ -2,7 +2,7 @@', '@@ -27,7 +27,6 @@'])
  })

  it('says where a text has no line feed at its end', () => {
    expect(printed(textDiff('a\n', 'a'))).toBe('@@ -1 +1 @@\n-a\n+a\n\\ No newline at end of file')
    expect(printed(textDiff('', 'a\n'))).toBe('@@ -0,0 +1 @@\n+a')
    expect(printed(textDiff('a\n', ''))).toBe('@@ -1 +0,0 @@\n-a')
  })

  it('finds the fewest changes', () => {
    const changes = (before: string, after: string) =>
      textDiff(before, after).filter(({ sign }) => '+-'.includes(sign)).length
    // The example of Myers' paper: five changes.
    expect(changes('a\nb\nc\na\nb\nb\na\n', 'c\nb\na\nb\na\nc\n')).toBe(5)
  })

  it('gives up looking for the fewest in texts that have little in common, and says the same all the same', () => {
    const [before, after] = [lines(...upTo(3000)), lines(...upTo(3000).map((number) => -number))]
    const found = textDiff(before, after)
    expect(found.filter(({ sign }) => sign === '-')).toHaveLength(3000)
    expect(found.filter(({ sign }) => sign === '+')).toHaveLength(3000)
  })

  it('is what patch(1) makes the new text of', async () => {
    const folder = await emptyDirectory()
    const [file, change] = [join(folder, 'text'), join(folder, 'change')]
    const text = fc
      .tuple(
        fc.array(fc.constantFrom('a', 'b', 'c', '', ' d', '-e', '+f', '@@ g', 'h\t'), { maxLength: 25 }),
        fc.boolean(),
      )
      .map(([words, ended]) => words.join('\n') + (ended && words.length > 0 ? '\n' : ''))
    fc.assert(
      fc.property(text, text, (before, after) => {
        const found = textDiff(before, after)
        expect(found.length === 0).toBe(before === after)
        if (found.length === 0) return
        writeFileSync(file, before)
        writeFileSync(change, `--- text\n+++ text\n${printed(found)}\n`)
        const patched = execFileSync('patch', ['--quiet', '--fuzz=0', '--output=-', file, change])
        expect(patched.toString()).toBe(after)
      }),
      { numRuns: 150 },
    )
  })
})
