/** Between the two forms that bytes in motion have here: async iterables inside, web streams at the seams. */

/** A web stream of what a generator yields; reads on only when it is read, and ends the generator when cancelled. */
export const streamOf = (source: AsyncGenerator<Uint8Array<ArrayBuffer>>): ReadableStream<Uint8Array<ArrayBuffer>> =>
  new ReadableStream(
    {
      async pull(controller) {
        const next = await source.next()
        if (next.done) controller.close()
        else controller.enqueue(next.value)
      },
      async cancel() {
        await source.return(undefined)
      },
    },
    { highWaterMark: 0 },
  )

/** The first bytes of a source, up to `length`; the source is ended. */
export async function headOf(source: AsyncIterable<Uint8Array>, length: number): Promise<Uint8Array<ArrayBuffer>> {
  const head = new Uint8Array(length)
  let filled = 0
  for await (const chunk of source) {
    const part = chunk.subarray(0, length - filled)
    head.set(part, filled)
    filled += part.length
    if (filled === length) break
  }
  return head.subarray(0, filled)
}
