/**
 * Assets of a deployed Worker, behind its ASSETS binding. The binding can fetch files but not list them, and keeps no
 * permissions: `boot-assets/index.json` has both, and a deployment never changes, so neither does the version.
 */
import type { AssetFile, Assets } from './assets.ts'
import { assetText, checkAssetPath } from './path.ts'

/** The part of an ASSETS binding that is used (developers.cloudflare.com/workers/static-assets/binding). */
export type AssetsBinding = { fetch(url: string): Promise<Response> }

/** Assets from the binding, listed by the index. Contents are fetched once. Throws `NAME_INVALID` for odd paths. */
export function boundAssets(binding: AssetsBinding, index: readonly AssetFile[]): Assets {
  const files = new Map(index.map((file) => [file.path, file]))
  const contents = new Map<string, Uint8Array<ArrayBuffer>>()

  const bytes = async (path: string) => {
    const target = resolve(files, checkAssetPath(path))
    if (target === undefined) return undefined
    const known = contents.get(target)
    if (known) return known
    // The host means nothing to the binding; a URL must have one.
    const response = await binding.fetch(`https://assets/${target.split('/').map(encodeURIComponent).join('/')}`)
    if (!response.ok) throw new Error(`asset ${target} is in the index but answers ${response.status}`)
    const read = new Uint8Array(await response.arrayBuffer())
    contents.set(target, read)
    return read
  }

  return {
    bytes,
    async text(path) {
      const read = await bytes(path)
      return read && assetText(path, read)
    },
    async list(folder) {
      const prefix = `${checkAssetPath(folder)}/`
      return index.flatMap((file) =>
        file.path.startsWith(prefix) ? [{ ...file, path: file.path.slice(prefix.length) }] : [],
      )
    },
    version: () => 'deployed',
  }
}

/** The file that a path stands for, through links that stay within the index; `undefined` when it leads to none. */
function resolve(files: ReadonlyMap<string, AssetFile>, path: string): string | undefined {
  let at = path
  for (let links = 0; links < 10; links++) {
    const file = files.get(at)
    if (!file) return undefined
    if ('executable' in file) return at
    if (file.link.startsWith('/')) return undefined
    at = new URL(file.link, `https://assets/${at}`).pathname.slice(1)
  }
  return undefined
}
