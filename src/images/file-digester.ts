/** Digests of files whose bytes go by in an archive, one file after the other. Node only. */
import { createHash, type Hash, hash } from 'node:crypto'
import { setImmediate } from 'node:timers/promises'
import type { Extent } from '../archive/sparse.ts'
import type { Digest } from '../blobs/digest.ts'

/** What is known of a file before its bytes come. */
type File = { size: number; extents: Extent[] }

/** Takes one file after the other. */
export type FileDigester = {
  /** A file begins. */
  begin(file: File): void
  /** The next of its stored bytes. */
  look(piece: Uint8Array): Promise<void> | undefined
  /** Its digest: of what it reads as, holes being zeros. */
  end(): Promise<Digest>
}

const zeros = new Uint8Array(2 ** 20)

/** A digester. Small files are hashed in one go, which costs a third of what a hash in steps does. */
export function createFileDigester(): FileDigester {
  let file: File = { size: 0, extents: [] }
  let done: string | undefined
  let steps: Hash | undefined
  /** How far the file is hashed, and which extent is next. */
  let at = 0
  let next = 0

  async function addZeros(until: number): Promise<void> {
    steps ??= createHash('sha256')
    while (at < until) {
      const part = zeros.subarray(0, until - at)
      steps.update(part)
      at += part.length
      await setImmediate()
    }
  }

  async function addSparse(piece: Uint8Array): Promise<void> {
    for (let from = 0; from < piece.length; ) {
      const extent = file.extents[next]
      if (!extent) throw new Error('more bytes than extents')
      if (at < extent.at) await addZeros(extent.at)
      const part = piece.subarray(from, from + extent.at + extent.length - at)
      steps ??= createHash('sha256')
      steps.update(part)
      from += part.length
      at += part.length
      if (at === extent.at + extent.length) next += 1
    }
  }

  return {
    begin(given) {
      file = given
      done = undefined
      steps = undefined
      at = 0
      next = 0
    },
    look(piece) {
      if (file.extents[0]?.length !== file.size) return addSparse(piece)
      if (piece.length === file.size) done = hash('sha256', piece)
      else {
        steps ??= createHash('sha256')
        steps.update(piece)
      }
      at += piece.length
    },
    async end() {
      if (at < file.size) await addZeros(file.size)
      return `sha256:${done ?? steps?.digest('hex') ?? hash('sha256', '')}`
    },
  }
}
