/** How an overlay gets along with those who have it: what lint can only say where nodes, profiles and images are known. */
import type { Digest } from '../blobs/digest.ts'
import { AppError } from '../errors.ts'
import type { OpenedImage } from '../images/opened-image.ts'
import type { Finding } from '../overlays/lint.ts'
import type { OverlayEntry } from '../overlays/manifest.ts'
import { matchesPattern } from '../overlays/pattern.ts'
import type { OverlaySource } from '../overlays/store.ts'
import { inherit, type Member } from '../registry/inherit.ts'
import { nodesNamed } from '../registry/nodes.ts'
import { overlayUsers } from '../registry/overlays.ts'
import type { RegistryDatabase } from '../registry/schema.ts'
import type { Snapshot } from '../registry/snapshot.ts'
import { bootDefaults } from './defaults.ts'

/** What is looked into. Without `openImage` images are not. */
export type UsesInput = {
  registry: RegistryDatabase
  overlays: Pick<OverlaySource, 'find'>
  snapshot: Snapshot
  openImage?: ((digest: Digest) => Promise<OpenedImage>) | undefined
}

/** Nodes with lists of their own that are looked at, and images: more of them say nothing new. */
const mostNodes = 200
const mostImages = 8

/** A way in which an overlay is had: the lists in order, by whom first, and their image. */
type Use = { by: string; names: string[]; image: string | undefined }

/**
 * Findings about an overlay's entries among those who have it: files that another overlay of theirs writes too, enabled units
 * that neither the overlays nor the image have, and that nobody has it. `placeOf` tells where an entry stands in the directory.
 */
export async function useFindings(
  name: string,
  entries: readonly OverlayEntry[],
  placeOf: (path: string) => Pick<Finding, 'path' | 'line'>,
  around: UsesInput,
): Promise<Finding[]> {
  const uses = await usesOf(name, around)
  const units = enabledUnits(entries)
  const findings = new Map<string, Finding>()
  const note = (finding: Finding) => {
    const key = `${finding.path} ${finding.line} ${finding.message.replace(/ \(.*/, '')}`
    if (!findings.has(key)) findings.set(key, finding)
  }
  if (uses.length === 0)
    note({
      level: 'warning',
      path: '',
      message: 'no profile and no node has it among its overlays: it reaches nobody yet',
    })
  const images = new Map<string, Promise<Opened>>()
  for (const { by, names, image } of uses) {
    const others = await othersIn(names, name, around)
    for (const other of others)
      for (const finding of conflicts(entries, other, names, name, by))
        note({ ...placeOf(finding.entry), ...finding.finding })
    const missing = units.filter(({ unit }) => !provides([...entries, ...others.flatMap((one) => one.entries)], unit))
    if (missing.length === 0 || image === undefined || !around.openImage) continue
    if (!images.has(image) && images.size >= mostImages) {
      note({
        level: 'warning',
        path: '',
        message: `units were looked for in ${mostImages} images alone: more are in use`,
      })
      continue
    }
    const opening = images.get(image) ?? openedImage(image, around.snapshot, around.openImage)
    images.set(image, opening)
    const opened = await opening
    if ('fault' in opened)
      note({ level: 'warning', path: '', message: `image ${image} cannot be looked into for units: ${opened.fault}` })
    else
      for (const { unit, path } of missing)
        if (!inImage(opened.image, unit))
          note({
            level: 'warning',
            ...placeOf(path),
            message: `enables ${unit}, which neither the overlays of ${by} nor the image ${image} have (${path})`,
          })
  }
  return [...findings.values()]
}

/** Each way in which profiles, and nodes with lists of their own, have an overlay: the same lists with the same image count once. */
async function usesOf(name: string, { registry, snapshot }: UsesInput): Promise<Use[]> {
  const { nodes } = await overlayUsers(registry, name, mostNodes)
  const stored = await nodesNamed(registry, nodes)
  const members: { by: string; member: Member }[] = [
    ...[...snapshot.profiles.values()]
      // Of those that have the same lists the one is named that sets them.
      .toSorted((a, b) => Number(b.settings.overlays != null) - Number(a.settings.overlays != null))
      .map(({ name: profile }) => ({
        by: `profile ${profile}`,
        member: { name: profile, profiles: [profile], settings: {} },
      })),
    ...[...stored.values()].map((node) => ({ by: `node ${node.name}`, member: node })),
  ]
  const uses = new Map<string, Use>()
  for (const { by, member } of members) {
    const { overlays, image } = inherit(member, snapshot.profiles)
    const { system = bootDefaults.overlays.system, runtime = bootDefaults.overlays.runtime } = overlays ?? {}
    const names = [...system, ...runtime]
    const key = JSON.stringify([names, image])
    if (names.includes(name) && !uses.has(key)) uses.set(key, { by, names, image })
  }
  const byDefault: readonly string[] = [...bootDefaults.overlays.system, ...bootDefaults.overlays.runtime]
  if (uses.size === 0 && byDefault.includes(name))
    return [{ by: 'nodes that name no overlays', names: [...byDefault], image: undefined }]
  return [...uses.values()]
}

type Other = { name: string; entries: OverlayEntry[] }

/** The other overlays of a list that are there and can be read: what is wrong with them is theirs to say. */
async function othersIn(names: readonly string[], name: string, { overlays }: UsesInput): Promise<Other[]> {
  const found = await Promise.all(
    [...new Set(names)].map(async (one): Promise<Other[]> => {
      const overlay = await overlays.find(one).catch((error: unknown) => {
        if (error instanceof AppError) return undefined
        throw error
      })
      // Of the overlay itself only what is shipped below the site's files: those are the entries that were given.
      const layers = overlay?.layers.filter(({ origin }) => one !== name || origin === 'shipped') ?? []
      return [{ name: one, entries: layers.flatMap(({ manifest }) => manifest.entries) }]
    }),
  )
  return found.flat()
}

function conflicts(entries: readonly OverlayEntry[], other: Other, names: readonly string[], name: string, by: string) {
  if (other.name === name) return []
  const [first, last] =
    names.lastIndexOf(name) < names.lastIndexOf(other.name) ? [name, other.name] : [other.name, name]
  const theirs = new Map(other.entries.filter(isWritten).map((entry) => [entry.path, entry]))
  return entries.filter(isWritten).flatMap((entry) => {
    const same = theirs.get(entry.path)
    // `when` is how overlays leave a file to one another.
    if (!same || same.when !== undefined || entry.when !== undefined) return []
    const message = `${entry.path} is written by overlay ${other.name} too, and ${last} counts because it stands after ${first} (${by})`
    return [{ entry: entry.path, finding: { level: 'warning' as const, message } }]
  })
}

const isWritten = ({ type }: OverlayEntry): boolean => type !== 'directory'

/** Links such as `/etc/systemd/system/multi-user.target.wants/x.service`: systemd goes by the link's name (systemd.unit(5)). */
const enabling = /^\/(?:etc|run|usr\/lib)\/systemd\/system\/[^/]+\.(?:wants|requires|upholds)\/([^/{}]+)$/

function enabledUnits(entries: readonly OverlayEntry[]): { unit: string; path: string }[] {
  return entries.flatMap(({ type, path, target }: OverlayEntry & { target?: string }) => {
    const unit = type === 'link' && target !== '/dev/null' ? enabling.exec(path)?.[1] : undefined
    // Devices come from udev, not from files.
    return unit === undefined || unit.endsWith('.device') ? [] : [{ unit, path }]
  })
}

const unitFolders = [
  'etc/systemd/system',
  'run/systemd/system',
  'usr/local/lib/systemd/system',
  'usr/lib/systemd/system',
  'lib/systemd/system',
]

/** A unit's files: its own, and for `getty@tty1.service` that of `getty@.service`. */
const filesOf = (unit: string): string[] => {
  const template = unit.replace(/@[^@]+(\.[a-z]+)$/, '@$1')
  return unitFolders.flatMap((folder) => [...new Set([unit, template])].map((name) => `${folder}/${name}`))
}

/** Whether entries make a unit; a path with {{…}} makes whatever fits it. */
function provides(entries: readonly OverlayEntry[], unit: string): boolean {
  const files = new Set(filesOf(unit).map((path) => `/${path}`))
  return entries.some(({ type, path }) => {
    if (type !== 'file' && type !== 'link') return false
    if (!path.includes('{{')) return files.has(path)
    const pattern = path.replace(/\{\{.*?\}\}/g, '*')
    return [...files].some((file) => matchesPattern(pattern, file))
  })
}

type Opened = { image: OpenedImage } | { fault: string }

async function openedImage(
  reference: string,
  snapshot: Snapshot,
  open: NonNullable<UsesInput['openImage']>,
): Promise<Opened> {
  try {
    return { image: await open((await snapshot.image(reference)).digest) }
  } catch (error) {
    if (error instanceof AppError) return { fault: error.message }
    throw error
  }
}

const inImage = ({ tree }: OpenedImage, unit: string): boolean =>
  filesOf(unit).some((path) => tree.resolve(path) !== undefined)
