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
  /**
   * Only its node may have it: it is left out of what machines fetch by MAC, and its content never leaves with an answer to an
   * admin. Set by `private: true`, and for every template that names `secrets` or a `password`.
   */
  private?: true
  /** What to do on the node, in this order, when the file came, changed or went while the node was up. */
  reload?: Reload[]
} & (
  | { type: 'file'; digest: Digest; size: number }
  | { type: 'link'; target: string }
  | { type: 'directory' }
  /** The file, link or whole directory of the image at this path is taken away. */
  | { type: 'removal' }
)

/** A unit that systemd is told to reload (or to restart where it cannot), or a command as its arguments, never a shell's. */
export type Reload = { unit: string } | { argv: string[] }

/** Key pairs and random texts that Muster can make. */
export const secretKinds = ['ssh-ed25519', 'ssh-ecdsa', 'ssh-rsa', 'random'] as const
/** One of {@link secretKinds}. `random` is 32 random bytes as base64 (a munge key). */
export type SecretKind = (typeof secretKinds)[number]

/** A file of the directory that an overlay was made of, by its path in it: `overlay.yaml`, `files/etc/motd.mustache`. */
export type OverlaySource = { path: string; executable: boolean } & ({ digest: Digest } | { link: string })

/** An overlay, ready to be rendered for any node. Entries are sorted by path. */
export type OverlayManifest = {
  description?: string
  entries: OverlayEntry[]
  /** Secrets that are made for a node which has none of that name, by name. */
  secrets?: Record<string, SecretKind>
}
