/** Where overlays come from: `boot-assets/overlays/NAME`, and what the site has pushed into the registry above it. */
import type { Assets } from '../assets/assets.ts'
import { type Digest, digestOf } from '../blobs/digest.ts'
import { canonicalJson } from '../registry/canonical.ts'
import { currentOverlayVersions, type OverlayVersion, overlayFiles } from '../registry/overlays.ts'
import type { RegistryDatabase } from '../registry/schema.ts'
import { nameSchema } from '../registry/settings.ts'
import type { LayeredOverlay, OverlayLayer } from './layers.ts'
import { parseOverlay, type SourceFile } from './parse.ts'

/** An overlay in a list: whether it came with Muster, and which version of the site's is current. */
export type OverlayListing = { name: string; shipped: boolean; site?: { version: number; digest: Digest } }

/** The overlays that nodes can have. */
export type OverlaySource = {
  /** The overlay with its layers, or `undefined`. Throws `OVERLAY_INVALID` when a shipped one has been edited badly. */
  find(name: string): Promise<LayeredOverlay | undefined>
  /** Every overlay, by name. */
  list(): Promise<OverlayListing[]>
}

/** Bytes of site overlays that are kept; the ones that were asked for longest ago go first. */
const mostKept = 32 * 1024 * 1024

type Layer = { layer: OverlayLayer; digest: Digest }

/**
 * Overlays of the assets and of the registry. Shipped ones are read once per `assets.version()`; contents of site ones
 * are kept by the digest of their version, which never means anything else.
 */
export function overlaySource({ assets, registry }: { assets: Assets; registry: RegistryDatabase }): OverlaySource {
  let shipped = { version: assets.version(), layers: new Map<string, Promise<Layer | undefined>>() }
  const site = new Map<Digest, { layer: Promise<Layer>; size: number }>()

  const shippedLayer = (name: string): Promise<Layer | undefined> => {
    const version = assets.version()
    if (shipped.version !== version) shipped = { version, layers: new Map() }
    const { layers } = shipped
    const reading = layers.get(name) ?? readShipped(assets, name)
    layers.set(name, reading)
    // A file that could not be read must not stay unreadable; whoever awaits `reading` gets the error.
    reading.catch(() => layers.delete(name))
    return reading
  }

  const siteLayer = async (version: OverlayVersion): Promise<Layer> => {
    const kept = site.get(version.digest)
    const reading = kept?.layer ?? readSite(registry, version)
    const size = version.manifest.entries.reduce((sum, entry) => sum + (entry.type === 'file' ? entry.size : 0), 0)
    site.delete(version.digest)
    site.set(version.digest, { layer: reading, size })
    let total = [...site.values()].reduce((sum, one) => sum + one.size, 0)
    for (const [digest, one] of site) {
      if (total <= mostKept) break
      site.delete(digest)
      total -= one.size
    }
    reading.catch(() => site.delete(version.digest))
    const { layer, digest } = await reading
    // The number is of this overlay; the contents may have been pushed under another name or number before.
    return { layer: { ...layer, origin: 'site', version: version.number }, digest }
  }

  return {
    async find(name) {
      if (!nameSchema.safeParse(name).success) return undefined
      const [below, [version]] = await Promise.all([shippedLayer(name), currentOverlayVersions(registry, [name])])
      const above = version && (await siteLayer(version))
      const layers = [below, above].filter((one) => one !== undefined)
      if (layers.length === 0) return undefined
      const digest = await digestOf(new TextEncoder().encode(layers.map((one) => one.digest).join('\n')))
      return { name, layers: layers.map((one) => one.layer), digest }
    },
    async list() {
      const [files, versions] = await Promise.all([assets.list('overlays'), currentOverlayVersions(registry)])
      const pushed = new Map(versions.map((version) => [version.overlay, version]))
      const inAssets = new Set(
        files.flatMap(({ path }) => (path.includes('/') ? [path.slice(0, path.indexOf('/'))] : [])),
      )
      return [...new Set([...inAssets, ...pushed.keys()])].sort().map((name) => {
        const version = pushed.get(name)
        const site = version && { version: version.number, digest: version.digest }
        return { name, shipped: inAssets.has(name), ...(site ? { site } : {}) }
      })
    },
  }
}

async function readShipped(assets: Assets, name: string): Promise<Layer | undefined> {
  const files = await shippedFiles(assets, name)
  if (files.length === 0) return undefined
  const { manifest, contents } = await parseOverlay(name, files)
  const digest = await digestOf(new TextEncoder().encode(canonicalJson(manifest)))
  return { layer: { origin: 'shipped', manifest, contents }, digest }
}

/** The directory of a shipped overlay; empty when there is none. */
export async function shippedFiles(assets: Assets, name: string): Promise<SourceFile[]> {
  if (!nameSchema.safeParse(name).success) return []
  const folder = `overlays/${name}`
  return Promise.all(
    (await assets.list(folder)).map(async (file): Promise<SourceFile> => {
      if ('link' in file) return { path: file.path, content: new Uint8Array(), executable: false, link: file.link }
      const content = await assets.bytes(`${folder}/${file.path}`)
      if (!content) throw new Error(`${folder}/${file.path} was listed and then was gone`)
      return { path: file.path, content, executable: file.executable }
    }),
  )
}

async function readSite(registry: RegistryDatabase, version: OverlayVersion): Promise<Layer> {
  const { manifest, digest } = version
  const wanted = [...new Set(manifest.entries.flatMap((entry) => (entry.type === 'file' ? [entry.digest] : [])))]
  const contents = await overlayFiles(registry, wanted)
  const missing = wanted.find((one) => !contents.has(one))
  if (missing) throw new Error(`the registry has lost ${missing} of overlay ${version.overlay}@${version.number}`)
  return { layer: { origin: 'site', version: version.number, manifest, contents }, digest }
}
