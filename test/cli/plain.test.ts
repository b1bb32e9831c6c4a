import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { jsonText, printer } from '../../src/cli/io.ts'
import { plain, printable, widthOf } from '../../src/cli/plain.ts'
import { bytesText, outline, table, timeText, valueText } from '../../src/cli/table.ts'

/** What could steer a terminal: C0, DEL, C1, and marks that turn the reading direction around. */
const steering = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/

/** A stream that keeps what it is given. */
function sink(isTTY: boolean) {
  const written: string[] = []
  return { isTTY, write: (text: string | Uint8Array) => written.push(String(text)), text: () => written.join('') }
}

describe('text from the service', () => {
  it.each([
    ['an escape sequence', 'n1\u001b[2J\u001b]0;owned\u0007', 'n1\ufffd[2J\ufffd]0;owned\ufffd'],
    ['a C1 control', 'a\u009b31mb', 'a\ufffd31mb'],
    ['a line end', 'a\r\nmuster: all is well', 'a\ufffd\ufffdmuster: all is well'],
    ['an override of the reading direction', 'a\u202eb', 'a\ufffdb'],
    ['half a surrogate pair', 'a\ud800b', 'a\ufffdb'],
    ['letters of any language', 'Knoten äöü 节点 🚀', 'Knoten äöü 节点 🚀'],
  ])('is harmless on one line: %s', (_name, text, harmless) => {
    expect(plain(text)).toBe(harmless)
  })

  it('keeps line feeds and tabs where a text has lines', () => {
    expect(printable('#!ipxe\n\techo \u001b[1m\r\n')).toBe('#!ipxe\n\techo \ufffd[1m\ufffd\n')
  })

  it('cannot steer a terminal, whatever it is and however it is printed', () => {
    const unit = fc.oneof(
      fc.integer({ min: 0, max: 0xff }),
      fc.integer({ min: 0x600, max: 0x2100 }),
      fc.integer({ min: 0xd800, max: 0xdfff }),
      fc.constant(0x1f680),
    )
    fc.assert(
      fc.property(fc.string({ unit: unit.map((code) => String.fromCodePoint(code)) }), (text) => {
        const terminal = sink(true)
        const { line } = printer(terminal, { NO_COLOR: '1' })
        line(text, { text, look: 'red' })
        for (const row of table([text], [[text]])) line(row)
        for (const row of outline({ [text]: [text, { a: text }] })) line(row)
        for (const row of terminal.text().split('\n')) expect(row).not.toMatch(steering)
        expect(jsonText({ [text]: text }).replaceAll('\n', '')).not.toMatch(steering)
        expect(JSON.parse(jsonText({ a: text }))).toEqual({ a: text })
      }),
    )
  })

  it('goes unchanged into a pipe when it is a text of several lines', () => {
    const pipe = sink(false)
    printer(pipe, {}).text('a\u001b[1m\r\n')
    expect(pipe.text()).toBe('a\u001b[1m\r\n')
  })

  it('is coloured on a terminal only, and not with NO_COLOR', () => {
    const looks = [
      [true, {}, '\u001b[31ma\u001b[0m\n'],
      [true, { NO_COLOR: '1' }, 'a\n'],
      [true, { TERM: 'dumb' }, 'a\n'],
      [false, {}, 'a\n'],
    ] as const
    for (const [isTTY, env, text] of looks) {
      const stream = sink(isTTY)
      printer(stream, env).line({ text: 'a', look: 'red' })
      expect(stream.text()).toBe(text)
    }
  })
})

describe('tables', () => {
  it('align by what a terminal shows, and end no line with blanks', () => {
    expect(
      table(
        ['NAME', 'NOTE', 'LAST'],
        [
          ['节点', 'e\u0301', 'x'],
          ['n1', 'plain', ''],
        ],
      ),
    ).toEqual(['NAME  NOTE   LAST', '节点  e\u0301      x', 'n1    plain  -'])
  })

  it.each([
    ['n001', 4],
    ['节点', 4],
    ['e\u0301', 1],
    ['🚀', 2],
    ['', 0],
  ])('know the width of %s', (text, width) => {
    expect(widthOf(text)).toBe(width)
  })
})

describe('values', () => {
  it.each([
    [undefined, '(none)'],
    [null, '(cleared)'],
    ['', '""'],
    [['quiet', 'ro'], '[quiet, ro]'],
    [true, 'true'],
    [{ a: 1 }, '{"a":1}'],
    [[{ a: 1 }], '[{"a":1}]'],
  ])('%j is %s', (value, text) => {
    expect(valueText(value)).toBe(text)
  })

  it('stand in an outline as in YAML', () => {
    const settings = {
      image: 'rocky9',
      kernel: { args: ['quiet', 'ro'] },
      netdevs: { default: { mac: '52:54:00:00:00:01' } },
      disks: [{ match: '/dev/sda', partitions: [{ label: 'root' }] }],
      tags: {},
    }
    expect(outline(settings)).toEqual([
      'image: rocky9',
      'kernel:',
      '  args: [quiet, ro]',
      'netdevs:',
      '  default:',
      '    mac: 52:54:00:00:00:01',
      'disks:',
      '  - match: /dev/sda',
      '    partitions:',
      '      - label: root',
      'tags: {}',
    ])
  })

  it.each([
    [0, '0 B'],
    [999, '999 B'],
    [1000, '1.00 kB'],
    [1_234_567, '1.23 MB'],
    [999_600_000, '1.00 GB'],
  ])('%d bytes are %s', (bytes, text) => {
    expect(bytesText(bytes)).toBe(text)
  })

  it('times are cut to the second', () => {
    expect(timeText('2026-10-01T12:00:00.123Z')).toBe('2026-10-01 12:00:00Z')
    expect(timeText(null)).toBe('')
  })
})
