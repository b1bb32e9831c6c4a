/** Site overlays and their versions: queries and edits. Shipped overlays are files; `overlays/store.ts` puts both together. */

import { and, asc, desc, eq, sql } from 'drizzle-orm'
import { fromBase64, toBase64 } from '../archive/base64.ts'
import { type Digest, digestOf } from '../blobs/digest.ts'
import { AppError } from '../errors.ts'
import type { OverlayManifest, OverlaySource } from '../overlays/manifest.ts'
import { canonicalJson, sameJson } from './canonical.ts'
import { checkRevision } from './members.ts'
import { type Editor, edit } from './revisions.ts'
import {
  type GitState,
  nodes,
  overlayContents,
  overlays,
  overlayVersions,
  profiles,
  type RegistryDatabase,
} from './schema.ts'
import { nameSchema } from './settings.ts'

/** A site overlay: its name and which version nodes get. */
export type Overlay = typeof overlays.$inferSelect
/** One pushed version. */
export type OverlayVersion = typeof overlayVersions.$inferSelect

/** Users that a refusal names of each kind. */
const usersTold = 10

/** A site overlay, or `undefined`. */
export async function findOverlay(db: RegistryDatabase, name: string): Promise<Overlay | undefined> {
  return (await db.select().from(overlays).where(eq(overlays.name, name)).get()) ?? undefined
}

/** The current version of every site overlay, or of the named ones; one query. */
export async function currentOverlayVersions(
  db: RegistryDatabase,
  names?: readonly string[],
): Promise<OverlayVersion[]> {
  const rows = await db
    .select()
    .from(overlayVersions)
    .innerJoin(overlays, and(eq(overlays.name, overlayVersions.overlay), eq(overlays.current, overlayVersions.number)))
    .where(
      names === undefined
        ? undefined
        : sql`${overlays.name} in (select value from json_each(${JSON.stringify(names)}))`,
    )
    .orderBy(asc(overlays.name))
    .all()
  return rows.map((row) => row.overlay_versions)
}

/** The versions of a site overlay, newest first; empty for a name that was never pushed. */
export async function listOverlayVersions(db: RegistryDatabase, name: string): Promise<OverlayVersion[]> {
  return db
    .select()
    .from(overlayVersions)
    .where(eq(overlayVersions.overlay, name))
    .orderBy(desc(overlayVersions.number))
    .all()
}

/** Contents of overlay files by digest; those that are not stored are missing from the map. */
export async function overlayFiles(
  db: RegistryDatabase,
  digests: readonly Digest[],
): Promise<Map<Digest, Uint8Array<ArrayBuffer>>> {
  const rows = await db
    .select()
    .from(overlayContents)
    .where(sql`${overlayContents.digest} in (select value from json_each(${JSON.stringify(digests)}))`)
    .all()
  return new Map(rows.map((row) => [row.digest, fromBase64(row.content)]))
}

/** Stores a new version of a site overlay and makes it the current one. The current content pushed again makes none. */
export async function pushOverlay(
  db: RegistryDatabase,
  editor: Editor,
  wanted: {
    name: string
    manifest: OverlayManifest
    sources: OverlaySource[]
    contents: ReadonlyMap<Digest, Uint8Array>
    /** The checkout that it comes from. */
    git?: GitState | undefined
    expected?: number | '*' | undefined
  },
): Promise<{ revision: number; version: OverlayVersion; created: boolean }> {
  const name = nameSchema.safeParse(wanted.name)
  if (!name.success)
    throw new AppError('NAME_INVALID', `overlay name ${JSON.stringify(wanted.name)} ${name.error.issues[0]?.message}`, {
      field: 'name',
    })
  const digest = await digestOf(new TextEncoder().encode(canonicalJson(wanted.manifest)))
  const { revision, result } = await edit(db, editor, async (revision) => {
    const before = await findOverlay(db, wanted.name)
    checkRevision(`overlay ${wanted.name}`, before, wanted.expected)
    const versions = before ? await listOverlayVersions(db, wanted.name) : []
    const current = versions.find((version) => version.number === before?.current)
    if (current?.digest === digest && sameJson(current.sources, wanted.sources))
      return { changes: [], statements: [], result: { version: current, created: false } }
    const number = (versions[0]?.number ?? 0) + 1
    const version: OverlayVersion = {
      overlay: wanted.name,
      number,
      digest,
      manifest: wanted.manifest,
      sources: wanted.sources,
      message: editor.message ?? '',
      author: editor.author,
      git: wanted.git ?? null,
      revision,
      createdAt: editor.at,
    }
    const row: Overlay = { name: wanted.name, current: number, revision, changedAt: editor.at }
    const { name: _key, ...set } = row
    const contents = JSON.stringify(
      [...wanted.contents].map(([digest, bytes]) => ({ digest, content: toBase64(bytes) })),
    )
    return {
      changes: [
        {
          noun: 'overlay' as const,
          name: wanted.name,
          before: before ? { version: before.current } : null,
          after: { version: number, digest },
        },
      ],
      statements: [
        db.insert(overlays).values(row).onConflictDoUpdate({ target: overlays.name, set }),
        db.insert(overlayVersions).values(version),
        db
          .insert(overlayContents)
          .select(sql`select value->>'digest', value->>'content' from json_each(${contents}) where true`)
          .onConflictDoNothing(),
      ],
      result: { version, created: true },
    }
  })
  return { revision, ...result }
}

/**
 * Deletes a site overlay with its versions. A shipped overlay of the same name comes into view again (`shadows`), so
 * only an overlay that shadows none is refused while it is used. Throws `OVERLAY_UNKNOWN`, `OVERLAY_USED`, `REVISION_CONFLICT`.
 */
export async function deleteOverlay(
  db: RegistryDatabase,
  editor: Editor,
  name: string,
  options: { shadows: boolean; expected?: number | '*' | undefined },
): Promise<{ revision: number }> {
  return edit(db, editor, async () => {
    const overlay = await findOverlay(db, name)
    if (!overlay) throw new AppError('OVERLAY_UNKNOWN', `no site overlay ${name}`)
    checkRevision(`overlay ${name}`, overlay, options.expected)
    const used = options.shadows ? undefined : await overlayUsers(db, name, usersTold)
    const users = [
      ...(used?.nodes ?? []).map((one) => `node ${one}`),
      ...(used?.profiles ?? []).map((one) => `profile ${one}`),
    ]
    if (users.length > 0)
      throw new AppError(
        'OVERLAY_USED',
        `overlay ${name} is used by ${users.join(', ')}: take it out of their overlays first`,
      )
    return {
      changes: [{ noun: 'overlay' as const, name, before: { version: overlay.current }, after: null }],
      statements: [db.delete(overlays).where(eq(overlays.name, name))],
      result: undefined,
    }
  })
}

/** Profiles and nodes whose own settings list an overlay, by name; at most `limit` of each. */
export async function overlayUsers(
  db: RegistryDatabase,
  name: string,
  limit: number,
): Promise<{ profiles: string[]; nodes: string[] }> {
  const lists = (settings: typeof nodes.settings | typeof profiles.settings) =>
    sql`(exists (select 1 from json_each(${settings}, '$.overlays.system') where value = ${name})
      or exists (select 1 from json_each(${settings}, '$.overlays.runtime') where value = ${name}))`
  const [usedByNodes, usedByProfiles] = await Promise.all([
    db
      .select({ name: nodes.name })
      .from(nodes)
      .where(lists(nodes.settings))
      .orderBy(asc(nodes.name))
      .limit(limit)
      .all(),
    db
      .select({ name: profiles.name })
      .from(profiles)
      .where(lists(profiles.settings))
      .orderBy(asc(profiles.name))
      .limit(limit)
      .all(),
  ])
  return { profiles: usedByProfiles.map((row) => row.name), nodes: usedByNodes.map((row) => row.name) }
}

/** How many profiles and nodes list each overlay in their own settings; overlays that nobody lists are missing. */
export async function overlayUseCounts(
  db: RegistryDatabase,
): Promise<Map<string, { profiles: number; nodes: number }>> {
  const counted = (table: typeof nodes | typeof profiles) =>
    db
      .select({ overlay: sql<string>`overlay`, users: sql<number>`count(*)` })
      .from(
        sql`(select distinct ${table.name} as user, list.value as overlay
          from ${table}, json_each(${table.settings}, '$.overlays') as lists, json_each(lists.value) as list)`,
      )
      .groupBy(sql`overlay`)
      .all()
  const [ofProfiles, ofNodes] = await Promise.all([counted(profiles), counted(nodes)])
  const counts = new Map(ofProfiles.map(({ overlay, users }) => [overlay, { profiles: users, nodes: 0 }]))
  for (const { overlay, users } of ofNodes)
    counts.set(overlay, { profiles: counts.get(overlay)?.profiles ?? 0, nodes: users })
  return counts
}
