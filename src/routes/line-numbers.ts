/** Numbers of lines as a query names them: `5,7-9`. */
import { AppError } from '../errors.ts'

/**
 * The numbers, each once, in rising order. Throws `REQUEST_INVALID` for another spelling, and for a number beyond `last`,
 * so that a short text cannot stand for a long list.
 */
export function lineNumbers(text: string, last: number): number[] {
  const numbers = new Set<number>()
  for (const part of text.split(',')) {
    const [, from = '', to = from] = /^([1-9][0-9]{0,6})(?:-([1-9][0-9]{0,6}))?$/.exec(part) ?? []
    const [first, end] = [Number(from), Number(to)]
    if (from === '' || first > end || end > last)
      throw new AppError(
        'REQUEST_INVALID',
        `lines=${text.slice(0, 100)} must name lines of the list, 1 to ${last}, such as 5,7-9`,
        { field: 'lines' },
      )
    for (let number = first; number <= end; number++) numbers.add(number)
  }
  return [...numbers].sort((a, b) => a - b)
}
