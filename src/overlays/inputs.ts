/** What a rendering may ask for besides a node's own settings. All of it may have to be fetched, and templates cannot wait. */
import type { NamedSettings } from './view.ts'

/**
 * Answers what is at hand, and throws a {@link Wanted} for what is not: whoever renders fetches it then and renders again.
 * Absence is `undefined`; a failing backend is a failing `fetch`.
 */
export type Inputs = {
  /** Every node of the cluster, in any order. */
  nodes(): NamedSettings[]
  /** Changes exactly when what templates see of `nodes()` may have changed. Never throws. */
  nodesStamp: string
  /** A file of the node's image, links followed inside the image. */
  imageFile(path: string): Uint8Array<ArrayBuffer> | undefined
  /** A file of the folder that the head node's admin has set aside for templates, by its path in it. */
  headFile(path: string): Uint8Array<ArrayBuffer> | undefined
  /** The node's secrets by name, opened. Asked for by private files alone. */
  secrets(): ReadonlyMap<string, string>
}

/** Thrown by {@link Inputs}; not an error. */
export class Wanted {
  /** Makes it be at hand. Rejects when it cannot be had. */
  readonly fetch: () => Promise<void>

  constructor(fetch: () => Promise<void>) {
    this.fetch = fetch
  }
}
