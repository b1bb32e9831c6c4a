/**
 * Remembers what entries of overlays came to, by what was read for it.
 *
 * For each entry there is a tree of questions: which names of the view are read first, and for each set of stamps that they
 * had, which are read next, down to the output. What a template reads depends on nothing but what it has read before, so that
 * a walk down asks for the names that a rendering would read, and stamps that are not there mean that it must be rendered. Names
 * that were always read one after the other are one question, so that some may be asked for too many; it is split when a rendering
 * reads another.
 */
import type { Read, Stamp } from './tracking.ts'

/** The most bytes of outputs that are kept. */
const mostKept = 64 * 1024 * 1024
/** What a question and an answer weigh besides their texts: about what V8 takes for them. */
const weightOf = { question: 300, answer: 300 } as const

/** Outputs by what was read for them. */
export type Outputs<T> = {
  /** The output whose reads have the stamps that `stampOf` answers. */
  find(entry: string, stampOf: (read: Read) => Stamp): T | undefined
  /** Remembers an output of so many bytes. `reads` are in the order in which they were read. */
  keep(entry: string, reads: readonly Read[], stampOf: (read: Read) => Stamp, output: T, size: number): void
  /** How many outputs are kept, and what they weigh together. */
  measure(): { count: number; size: number }
}

/** `above` says under which stamps of which question this hangs. */
type Question<T> = { reads: readonly Read[]; below: Map<string, Question<T> | Answer<T>>; above: Place<T> }
/** `wanted`: since it was last looked at for being dropped. */
type Answer<T> = { output: T; weight: number; above: Place<T>; wanted: boolean }
type Place<T> = { question: Question<T> | undefined; stamps: readonly Stamp[]; key: string }

/**
 * Keeps at most so many bytes. Those go first that nobody has wanted for the longest time, more or less: each has a second chance
 * ("clock"), because exact order would cost every use more than all of the stamps.
 */
export function rememberedOutputs<T>(most: number = mostKept): Outputs<T> {
  const roots = new Map<string, Question<T> | Answer<T>>()
  const answers = new Set<Answer<T>>()
  let size = 0

  const put = (what: Question<T> | Answer<T>) => (what.above.question?.below ?? roots).set(what.above.key, what)

  /** Counts everything below out. It still hangs where it is. */
  const forget = (found: Question<T> | Answer<T>) => {
    if ('output' in found) {
      if (answers.delete(found)) size -= found.weight
    } else for (const one of found.below.values()) forget(one)
  }

  /** Takes an output away, and the questions that lead nowhere then. */
  const drop = (answer: Answer<T>) => {
    forget(answer)
    let { question, key } = answer.above
    while (question) {
      question.below.delete(key)
      if (question.below.size > 0) return
      ;({ question, key } = question.above)
    }
    roots.delete(key)
  }

  /** Makes a question of the first few reads, and hangs what was below under questions of the others. */
  const split = ({ reads, below, above }: Question<T>, first: number): Question<T> => {
    const upper: Question<T> = { reads: reads.slice(0, first), below: new Map(), above }
    for (const one of below.values()) {
      const { stamps } = one.above
      const place = placeIn(upper, stamps.slice(0, first))
      const known = upper.below.get(place.key)
      const lower: Question<T> =
        known && 'reads' in known ? known : { reads: reads.slice(first), below: new Map(), above: place }
      put(lower)
      one.above = placeIn(lower, stamps.slice(first))
      put(one)
    }
    put(upper)
    return upper
  }

  return {
    find(entry, stampOf) {
      let found = roots.get(entry)
      while (found && 'reads' in found) {
        let key = ''
        for (const read of found.reads) key += stampOf(read)
        found = found.below.get(key)
      }
      if (!found) return undefined
      found.wanted = true
      return found.output
    },
    keep(entry, reads, stampOf, output, bytes) {
      let above: Place<T> = { question: undefined, stamps: [], key: entry }
      let weight = weightOf.answer + bytes
      let at = 0
      while (at < reads.length) {
        const found: Question<T> | Answer<T> | undefined = (above.question?.below ?? roots).get(above.key)
        const same = found && 'reads' in found ? alike(found.reads, reads.slice(at)) : 0
        // Should an entry ever read something else for the same stamps, what it came to before is not to be trusted.
        if (found && same === 0) forget(found)
        let question: Question<T>
        if (found && 'reads' in found && same > 0) {
          question = same < found.reads.length ? split(found, same) : found
        } else {
          question = { reads: reads.slice(at), below: new Map(), above }
          weight += weightOf.question
          put(question)
        }
        const stamps = question.reads.map(stampOf)
        above = placeIn(question, stamps)
        weight += 2 * above.key.length
        at += question.reads.length
      }
      const found = (above.question?.below ?? roots).get(above.key)
      if (found) forget(found)
      const answer: Answer<T> = { output, weight, above, wanted: false }
      put(answer)
      answers.add(answer)
      size += weight
      for (const oldest of answers) {
        if (size <= most) return
        if (oldest.wanted) {
          oldest.wanted = false
          answers.delete(oldest)
          answers.add(oldest)
        } else drop(oldest)
      }
    },
    measure: () => ({ count: answers.size, size }),
  }
}

function placeIn<T>(question: Question<T>, stamps: readonly Stamp[]): Place<T> {
  return { question, stamps, key: stamps.join('') }
}

/** How many of the first reads are the same. */
function alike(a: readonly Read[], b: readonly Read[]): number {
  let same = 0
  while (same < a.length && a[same]?.name === b[same]?.name && a[same]?.argument === b[same]?.argument) same++
  return same
}
