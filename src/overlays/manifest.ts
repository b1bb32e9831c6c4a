/** An overlay as data: what `overlay.yaml` and the files beside it say, before any node is known. */
import type { Digest } from '../blobs/digest.ts'

/** One file, link or directory of an overlay. */
export type OverlayEntry = {
  /** Absolute path on the node; may contain mustache when `each` is set: `/etc/systemd/network/10-{{name}}.network`. */
  path: string
  /** Permission bits, as a number. */
  mode: number
  uid: number
  gid: number
  /** Rendered with mustache when true; verbatim otherwise. */
  template: boolean
  /** A path in the view whose list or map makes one file for each item: `netdevs`. */
  each?: string
  /** A path in the view that must be there and not false: `tags.gpu`. */
  when?: string
} & ({ type: 'file'; digest: Digest; size: number } | { type: 'link'; target: string } | { type: 'directory' })

/** A file of the directory that an overlay was made of, by its path in it: `overlay.yaml`, `files/etc/motd.mustache`. */
export type OverlaySource = { path: string; executable: boolean } & ({ digest: Digest } | { link: string })

/** An overlay, ready to be rendered for any node. Entries are sorted by path. */
export type OverlayManifest = { description?: string; entries: OverlayEntry[] }
