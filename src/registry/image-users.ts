/** Who needs which version of an image: nodes and profiles by their own settings, tags, and rollouts that are under way. */
import { sql } from 'drizzle-orm'
import { parseReference, type VersionReference } from './image-reference.ts'
import { type Image, type ImageTags, type ImageVersion, tagsOf } from './images.ts'
import { activeRollouts, type Rollout } from './rollouts.ts'
import { nodes, profiles, type RegistryDatabase } from './schema.ts'

/** One that needs a version. */
export type ImageUser = { kind: 'node' | 'profile' | 'tag' | 'rollout'; name: string }

/** A node or profile whose own setting names an image, and how: `rocky9`, `rocky9@3`. */
export type ImageReferrer = { kind: 'node' | 'profile'; name: string; reference: string }

/** Nodes and profiles whose own setting names an image in whatever version; nodes first, by name. */
export async function imageReferrers(db: RegistryDatabase, image: string): Promise<ImageReferrer[]> {
  const from = async (kind: 'node' | 'profile'): Promise<ImageReferrer[]> => {
    const table = kind === 'node' ? nodes : profiles
    const reference = sql<string>`${table.settings}->>'image'`
    const rows = await db
      .select({ name: table.name, reference })
      .from(table)
      .where(sql`(${reference} = ${image} or substr(${reference}, 1, ${image.length + 1}) = ${`${image}@`})`)
      .orderBy(table.name)
      .all()
    return rows.map((row) => ({ kind, ...row }))
  }
  return [...(await from('node')), ...(await from('profile'))]
}

/** Rollouts of an image that are under way, and those that may give it back to their nodes. */
export const activeRolloutsOf = async (db: RegistryDatabase, image: string): Promise<Rollout[]> =>
  (await activeRollouts(db)).filter(
    (one) => one.image === image || referencesBefore(one).some((text) => isOf(image, text)),
  )

/** For each of an image's versions that are needed, by whom. */
export async function versionUsers(
  db: RegistryDatabase,
  image: Image,
  versions: readonly ImageVersion[],
): Promise<Map<number, ImageUser[]>> {
  const tags = (await tagsOf(db, [image.name])).get(image.name) ?? {}
  const users = new Map<number, ImageUser[]>()
  const use = (number: number | undefined, user: ImageUser): void => {
    if (number === undefined) return
    const known = users.get(number)
    if (known) known.push(user)
    else users.set(number, [user])
  }
  const numberOf = (reference: string): number | undefined =>
    meant(parseReference(reference).version, image, versions, tags)
  for (const { kind, name, reference } of await imageReferrers(db, image.name)) use(numberOf(reference), { kind, name })
  for (const [tag, number] of Object.entries(tags)) use(number, { kind: 'tag', name: tag })
  for (const rollout of await activeRolloutsOf(db, image.name)) {
    const before = referencesBefore(rollout).filter((text) => isOf(image.name, text))
    const needed = new Set([...(rollout.image === image.name ? [rollout.number] : []), ...before.map(numberOf)])
    for (const number of needed) use(number, { kind: 'rollout', name: String(rollout.id) })
  }
  return users
}

/** Who names a tag: they would find no version without it. */
export async function tagUsers(db: RegistryDatabase, image: string, tag: string): Promise<ImageUser[]> {
  const wanted = `${image}@${tag}`
  const referrers = await imageReferrers(db, image)
  const active = await activeRolloutsOf(db, image)
  return [
    ...referrers.filter(({ reference }) => reference === wanted),
    ...active
      .filter((one) => referencesBefore(one).includes(wanted))
      .map(({ id }) => ({ kind: 'rollout' as const, name: String(id) })),
  ]
}

/** Users for a message: `node n1, profile gpu and 12 others`. Pure. */
export function usersText(users: readonly ImageUser[], most = 10): string {
  const shown = users.slice(0, most).map(({ kind, name }) => `${kind} ${name}`)
  const others = users.length - shown.length
  return shown.join(', ') + (others > 0 ? ` and ${others} other${others === 1 ? '' : 's'}` : '')
}

function meant(
  version: VersionReference | undefined,
  image: Image,
  versions: readonly ImageVersion[],
  tags: ImageTags,
): number | undefined {
  if (!version) return image.current ?? undefined
  if ('number' in version) return version.number
  if ('tag' in version) return Object.hasOwn(tags, version.tag) ? tags[version.tag] : undefined
  return versions.find((one) => one.digest === version.digest)?.number
}

/** What a rollout's nodes had before, which a revert puts back. */
const referencesBefore = ({ plan }: Rollout): string[] => plan.waves.flat().flatMap(({ before }) => before ?? [])

const isOf = (image: string, reference: string): boolean => reference === image || reference.startsWith(`${image}@`)
