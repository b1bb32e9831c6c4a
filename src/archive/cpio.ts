/**
 * Writes newc cpio archives, which the kernel unpacks as initramfs
 * (Documentation/driver-api/early-userspace/buffer-format.rst). The same entries give the same bytes.
 */

/** One entry for {@link packCpio}. `path` is relative, without a slash at either end; `mode` is permission bits only. */
export type CpioEntry = { path: string; mode: number; uid: number; gid: number } & (
  | { type: 'file'; content: Uint8Array }
  | { type: 'link'; target: string }
  | { type: 'directory' }
)

/** A whole archive in memory: entries in the order given, then the trailer. For overlays and tickets; images stream. */
export function packCpio(_entries: CpioEntry[]): Uint8Array<ArrayBuffer> {
  throw new Error('being written')
}
