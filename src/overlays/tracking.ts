/** What a view has besides its names, so that what is rendered from it can be remembered and secrets stay where they belong. */
import type { Inputs } from './inputs.ts'
import { templateError } from './tags.ts'

/** Something that was read of a view: a path in it, or with `argument` a file by a look-up (`look-up.ts`). */
export type Read = { name: string; path: readonly string[]; argument?: string }

/** Equal exactly for equal values. No stamp begins another, so that stamps one after the other are as good as a list of them. */
export type Stamp = string

/** Numbers contents: the same bytes have the same number, other bytes another. */
export type ContentNumbers = (content: Uint8Array<ArrayBuffer> | undefined) => number

/** For whom a view is read at the moment. */
export type Reader = { overlay: string; path: string; private: boolean }

/** Key of what a view has besides names. No name of a template can reach it. */
export const tracking = Symbol('tracking')

/** A view whose reads have stamps, and which knows for whom it is read. */
export type Tracked = {
  readonly [tracking]: {
    reader: Reader
    inputs: Inputs
    /** Throws what `Inputs` throw. */
    stampOf: (read: Read, contents: ContentNumbers) => Stamp
  }
}

/** Who reads, and what may be told to whom. */
export const readers = {
  nobody: (): Reader => ({ overlay: '', path: 'this', private: false }),
  /** Throws `TEMPLATE_INVALID` when a secret would be told to what is not private. */
  check(reader: Reader, name: string): void {
    if (reader.private) return
    const where = reader.overlay === '' ? reader.path : `${reader.overlay}:${reader.path}`
    throw templateError(`${where} reads ${name}, which only a private file may: give it private: true in overlay.yaml`)
  },
} as const
