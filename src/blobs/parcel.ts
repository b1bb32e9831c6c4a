/** Parcel: what a route hands to the server when the server can send it faster than a response's body would. */
import type { Bytes, Descriptor, Slice } from './store.ts'

/** A blob, or a slice of it, on its way out: a file of this machine, or a stream that has the slice's bytes. */
export type Parcel = Descriptor & Slice & ({ path: string } | { body: Bytes })

/**
 * Takes the bytes of the response that the route is about to return with a null body. A route finds it as
 * `c.env.sendBlob` where the server has it: see `sender.ts`.
 */
export type SendBlob = (parcel: Parcel) => void
