import { expect, it } from 'vitest'
import { lineLog } from '../../src/head/line-log.ts'

const told = (least: 'error' | 'warn' | 'info') => {
  const lines: string[] = []
  return {
    lines,
    log: lineLog(
      (line) => void lines.push(line),
      least,
      () => new Date('2026-01-31T12:00:00Z'),
    ),
  }
}

it('is one line for each entry, with its facts as JSON', () => {
  const { lines, log } = told('info')
  log('info', 'the "first"\nline', { node: 'n001', bytes: 2n })
  log('warn', 'no facts', {})
  expect(lines).toEqual([
    '2026-01-31T12:00:00.000Z info the "first"\\nline {"node":"n001","bytes":"2"}\n',
    '2026-01-31T12:00:00.000Z warn no facts\n',
  ])
})

it('tells where an error came from', () => {
  const { lines, log } = told('info')
  log('error', 'it failed', { error: new Error('disk on fire') })
  expect(lines[0]).toMatch(/^\S+ error it failed \{"error":"Error: disk on fire\\n {4}at .*line-log\.test\.ts/)
})

it.each([
  ['error', ['error']],
  ['warn', ['error', 'warn']],
  ['info', ['error', 'warn', 'info']],
] as const)('has nothing below %s when it is told so', (least, levels) => {
  const { lines, log } = told(least)
  for (const level of ['error', 'warn', 'info'] as const) log(level, 'x')
  expect(lines.map((line) => line.split(' ')[1])).toEqual(levels)
})
