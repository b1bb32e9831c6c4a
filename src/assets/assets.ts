/** Assets: the text that nodes receive (`boot-assets/`). The contract; the entries say where the files are. */

/** One file of an asset folder. `executable` is the only permission that travels with it. */
export type AssetFile = { path: string; executable: boolean } | { path: string; link: string }

/**
 * Read-only files under paths like `ipxe/default.ipxe`. A site's file shadows the shipped one of the same path.
 * Paths are relative, with `/`, never with `..`; callers may pass names that came from settings.
 */
export interface Assets {
  /** The file's text (UTF-8), or `undefined` when there is none. */
  text(path: string): Promise<string | undefined>
  /** The file's bytes, or `undefined` when there is none. */
  bytes(path: string): Promise<Uint8Array<ArrayBuffer> | undefined>
  /** Every file and symbolic link below a folder, relative to it, sorted; empty when there is no such folder. */
  list(folder: string): Promise<AssetFile[]>
  /** Changes whenever a file may have changed; caches of what was made from assets are keyed by it. */
  version(): string
}
