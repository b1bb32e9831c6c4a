import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Conditions, parseRange, select } from '../../src/blobs/range.ts'

const etag = '"sha256:abc"'

describe('a Range header', () => {
  test.each<[string, string, number, ReturnType<typeof parseRange>]>([
    ['the first bytes', 'bytes=0-9', 100, { offset: 0, length: 10 }],
    ['one byte', 'bytes=5-5', 100, { offset: 5, length: 1 }],
    ['an open end', 'bytes=40-', 100, { offset: 40, length: 60 }],
    ['an end beyond the blob', 'bytes=40-1000', 100, { offset: 40, length: 60 }],
    ['an end beyond every number', `bytes=40-${'9'.repeat(400)}`, 100, { offset: 40, length: 60 }],
    ['the last bytes', 'bytes=-10', 100, { offset: 90, length: 10 }],
    ['more last bytes than there are', 'bytes=-1000', 100, { offset: 0, length: 100 }],
    ['the unit in capitals', 'BYTES=0-0', 100, { offset: 0, length: 1 }],
    ['white space and empty list elements', 'bytes= , 0-0 ,', 100, { offset: 0, length: 1 }],
    ['a start at the end', 'bytes=100-', 100, 'unsatisfiable'],
    ['a start beyond the end', 'bytes=101-200', 100, 'unsatisfiable'],
    ['a start beyond every number', `bytes=${'9'.repeat(400)}-`, 100, 'unsatisfiable'],
    ['the last no bytes', 'bytes=-0', 100, 'unsatisfiable'],
    ['a start in an empty blob', 'bytes=0-', 0, 'unsatisfiable'],
    ['the last bytes of an empty blob', 'bytes=-5', 0, undefined],
    ['an end before its start', 'bytes=10-9', 100, undefined],
    ['several ranges', 'bytes=0-1,5-6', 100, undefined],
    ['another unit', 'lines=0-1', 100, undefined],
    ['no range at all', 'bytes=', 100, undefined],
    ['a lone hyphen', 'bytes=-', 100, undefined],
    ['a negative start', 'bytes=--5', 100, undefined],
    ['a fraction', 'bytes=0.5-1', 100, undefined],
    ['hexadecimal digits', 'bytes=0x1-0x2', 100, undefined],
    ['white space inside', 'bytes=0 - 1', 100, undefined],
    ['nonsense', 'tomorrow', 100, undefined],
    ['nothing', '', 100, undefined],
  ])('with %s', (_, header, size, expected) => {
    expect(parseRange(header, size)).toEqual(expected)
  })

  test('means the same bytes as the slice of an array that the RFC describes', () => {
    const number = fc.nat(60)
    const bytes = Array.from({ length: 50 }, (_, at) => at)
    fc.assert(
      fc.property(fc.option(number), fc.option(number), fc.nat(50), (first, last, size) => {
        const blob = bytes.slice(0, size)
        const wanted =
          first !== null
            ? blob.filter((at) => at >= first && (last === null || at <= last))
            : blob.slice(Math.max(0, size - (last ?? 0)))
        const found = parseRange(`bytes=${first ?? ''}-${last ?? ''}`, size)
        if (found === undefined || found === 'unsatisfiable') {
          const backwards = first !== null && last !== null && last < first
          const absent = first === null && last === null
          const emptyTail = first === null && (last === 0 || size === 0)
          expect(backwards || absent || emptyTail || wanted.length === 0).toBe(true)
        } else {
          expect(blob.slice(found.offset, found.offset + found.length)).toEqual(wanted)
          expect(found.length).toBeGreaterThan(0)
        }
      }),
    )
  })

  test('never leads out of the blob, whatever it says', () => {
    const text = fc.oneof(
      fc.string(),
      fc.string({ unit: fc.constantFrom(...'0123456789-, =bytes'), maxLength: 20 }).map((set) => `bytes=${set}`),
    )
    fc.assert(
      fc.property(text, fc.nat(), (header, size) => {
        const found = parseRange(header, size)
        if (found === undefined || found === 'unsatisfiable') return
        expect(found.offset).toBeGreaterThanOrEqual(0)
        expect(found.length).toBeGreaterThan(0)
        expect(found.offset + found.length).toBeLessThanOrEqual(size)
      }),
    )
  })
})

describe('a request', () => {
  const whole = { status: 200, slice: { offset: 0, length: 100 } }
  const part = { status: 206, slice: { offset: 0, length: 10 } }
  const range = 'bytes=0-9'
  test.each<[string, Partial<Conditions>, unknown]>([
    ['for all', {}, whole],
    ['for a part', { range }, part],
    ['for a part that is not there', { range: 'bytes=100-' }, { status: 416 }],
    ['for a part by HEAD, for which ranges are not defined', { method: 'HEAD', range }, whole],
    ['for a part if the blob is still the same', { range, ifRange: etag }, part],
    ['for a part if another blob is still the same', { range, ifRange: '"sha256:def"' }, whole],
    ['for a part by a weak tag', { range, ifRange: `W/${etag}` }, whole],
    ['for a part by a date', { range, ifRange: 'Sun, 22 Nov 2026 12:00:00 GMT' }, whole],
    ['for an impossible part of another blob', { range: 'bytes=100-', ifRange: '"sha256:def"' }, whole],
    ['of who has it', { ifNoneMatch: etag }, { status: 304 }],
    ['of who has it, by HEAD', { method: 'HEAD', ifNoneMatch: etag }, { status: 304 }],
    ['of who has it, weakly', { ifNoneMatch: `W/${etag}` }, { status: 304 }],
    ['of who has it among others', { ifNoneMatch: `"a", W/"b" ,${etag}` }, { status: 304 }],
    ['of who has any', { ifNoneMatch: '*' }, { status: 304 }],
    ['of who has another', { ifNoneMatch: '"sha256:def"' }, whole],
    ['of who quotes nothing', { ifNoneMatch: 'sha256:abc' }, whole],
    ['of who has it and wants a part', { ifNoneMatch: etag, range }, { status: 304 }],
    ['of who has it and wants an impossible part', { ifNoneMatch: etag, range: 'bytes=100-' }, { status: 304 }],
    ['of who has another and wants a part', { ifNoneMatch: '"a"', range }, part],
  ])('%s', (_, conditions, expected) => {
    expect(select({ method: 'GET', ...conditions }, etag, 100)).toEqual(expected)
  })
})
