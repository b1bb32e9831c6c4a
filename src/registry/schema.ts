/**
 * The registry's tables, for better-sqlite3 on head nodes and D1 on Workers alike.
 *
 * Every row that people edit carries the number of the revision that last changed it: that number is its ETag.
 * Tables change only through `edit()` in `revisions.ts`, which makes the revision.
 */

import type { SQLWrapper } from 'drizzle-orm'
import type { BaseSQLiteDatabase } from 'drizzle-orm/sqlite-core'
import { index, integer, primaryKey, sqliteTable, text, uniqueIndex } from 'drizzle-orm/sqlite-core'
import type { Digest } from '../blobs/digest.ts'
import type { CpioRoot, ImageSummary, Provenance } from '../images/manifest.ts'
import type { OverlayManifest, OverlaySource } from '../overlays/manifest.ts'
import type { RolloutPlan, RolloutState } from './rollouts.ts'
import type { Json, Settings } from './settings.ts'

/** A machine that Muster boots. */
export const nodes = sqliteTable('nodes', {
  name: text('name').primaryKey(),
  /** Profiles in the order in which they apply. */
  profiles: text('profiles', { mode: 'json' }).$type<string[]>().notNull(),
  settings: text('settings', { mode: 'json' }).$type<Settings>().notNull(),
  revision: integer('revision').notNull(),
  changedAt: integer('changed_at', { mode: 'timestamp_ms' }).notNull(),
})

/** Settings that nodes share. */
export const profiles = sqliteTable('profiles', {
  name: text('name').primaryKey(),
  /** Parents, applied before this profile. */
  profiles: text('profiles', { mode: 'json' }).$type<string[]>().notNull(),
  settings: text('settings', { mode: 'json' }).$type<Settings>().notNull(),
  revision: integer('revision').notNull(),
  changedAt: integer('changed_at', { mode: 'timestamp_ms' }).notNull(),
})

/** The index that makes a MAC or an address belong to one node only, and a node findable by MAC in one look-up. */
export const netdevs = sqliteTable(
  'netdevs',
  {
    node: text('node')
      .notNull()
      .references(() => nodes.name, { onDelete: 'cascade' }),
    name: text('name').notNull(),
    mac: text('mac'),
    /** Without the prefix length; IPv6 in the form of RFC 5952. */
    address: text('address'),
    address6: text('address6'),
  },
  (table) => [
    primaryKey({ columns: [table.node, table.name] }),
    uniqueIndex('netdevs_mac').on(table.mac),
    uniqueIndex('netdevs_address').on(table.address),
    uniqueIndex('netdevs_address6').on(table.address6),
  ],
)

/** An image: a name, and which of its versions nodes get that do not ask for one. */
export const images = sqliteTable('images', {
  name: text('name').primaryKey(),
  current: integer('current'),
  /** Number of the newest version ever made. Never goes back, so that a number is never used twice. */
  newest: integer('newest').notNull(),
  revision: integer('revision').notNull(),
  changedAt: integer('changed_at', { mode: 'timestamp_ms' }).notNull(),
})

/** An immutable version of an image. */
export const imageVersions = sqliteTable(
  'image_versions',
  {
    image: text('image')
      .notNull()
      .references(() => images.name, { onDelete: 'cascade' }),
    number: integer('number').notNull(),
    /** Digest of the manifest, which is a blob. */
    digest: text('digest').$type<Digest>().notNull(),
    summary: text('summary', { mode: 'json' }).$type<ImageSummary>().notNull(),
    /** Where it was imported from, as the importer was told. */
    source: text('source').notNull(),
    provenance: text('provenance', { mode: 'json' }).$type<Provenance>().notNull(),
    message: text('message').notNull(),
    author: text('author').notNull(),
    revision: integer('revision').notNull(),
    createdAt: integer('created_at', { mode: 'timestamp_ms' }).notNull(),
  },
  (table) => [primaryKey({ columns: [table.image, table.number] }), index('image_versions_digest').on(table.digest)],
)

/** Names for versions that people choose: `rocky9@tested`. A tag can be moved. */
export const imageTags = sqliteTable(
  'image_tags',
  {
    image: text('image')
      .notNull()
      .references(() => images.name, { onDelete: 'cascade' }),
    tag: text('tag').notNull(),
    number: integer('number').notNull(),
    revision: integer('revision').notNull(),
  },
  (table) => [primaryKey({ columns: [table.image, table.tag] })],
)

/**
 * What is known of layers that were imported, so that none is read twice. Not part of any revision: losing a row costs
 * time only.
 */
export const imageLayers = sqliteTable('image_layers', {
  /** Digest of the uncompressed tar. */
  diffId: text('diff_id').$type<Digest>().primaryKey(),
  /** The blob with its entries: see `images/layer-index.ts`. */
  index: text('index').$type<Digest>().notNull(),
  usedAt: integer('used_at', { mode: 'timestamp_ms' }).notNull(),
})

/** Root archives that were made, by the digest of their image's manifest. Not part of any revision: they can be made again. */
export const rootArchives = sqliteTable('root_archives', {
  image: text('image').$type<Digest>().primaryKey(),
  root: text('root', { mode: 'json' }).$type<CpioRoot>().notNull(),
})

/** A version on its way to nodes, wave by wave. */
export const rollouts = sqliteTable('rollouts', {
  id: integer('id').primaryKey(),
  image: text('image').notNull(),
  /** The version that nodes get. */
  number: integer('number').notNull(),
  state: text('state').$type<RolloutState>().notNull(),
  plan: text('plan', { mode: 'json' }).$type<RolloutPlan>().notNull(),
  author: text('author').notNull(),
  revision: integer('revision').notNull(),
  createdAt: integer('created_at', { mode: 'timestamp_ms' }).notNull(),
  changedAt: integer('changed_at', { mode: 'timestamp_ms' }).notNull(),
})

/** A site overlay. Shipped overlays are files in `boot-assets/overlays`, not rows. */
export const overlays = sqliteTable('overlays', {
  name: text('name').primaryKey(),
  current: integer('current').notNull(),
  revision: integer('revision').notNull(),
  changedAt: integer('changed_at', { mode: 'timestamp_ms' }).notNull(),
})

/** One pushed version of a site overlay. */
export const overlayVersions = sqliteTable(
  'overlay_versions',
  {
    overlay: text('overlay')
      .notNull()
      .references(() => overlays.name, { onDelete: 'cascade' }),
    number: integer('number').notNull(),
    digest: text('digest').$type<Digest>().notNull(),
    manifest: text('manifest', { mode: 'json' }).$type<OverlayManifest>().notNull(),
    /** The directory as it was pushed, so that it can be pulled again to the letter. */
    sources: text('sources', { mode: 'json' }).$type<OverlaySource[]>().notNull(),
    message: text('message').notNull(),
    author: text('author').notNull(),
    /** The checkout that it was pushed from; null when that was none. */
    git: text('git', { mode: 'json' }).$type<GitState>(),
    revision: integer('revision').notNull(),
    createdAt: integer('created_at', { mode: 'timestamp_ms' }).notNull(),
  },
  (table) => [primaryKey({ columns: [table.overlay, table.number] })],
)

/** Contents of overlay files, by digest, shared by overlays and versions. Base64, because D1's JSON has no bytes. */
export const overlayContents = sqliteTable('overlay_contents', {
  digest: text('digest').$type<Digest>().primaryKey(),
  content: text('content').notNull(),
})

/** The state of a git checkout: the commit, and whether files differed from it. */
export type GitState = { commit: string; dirty: boolean }

/**
 * Secrets, sealed: `secrets/seal.ts` says how. A secret of a node hides its profiles' (the last in its lineage first), those
 * hide the cluster's, and all of these hide what was generated for the node.
 */
export const secrets = sqliteTable(
  'secrets',
  {
    /** `cluster`, `profile:NAME` or `node:NAME`. */
    owner: text('owner').notNull(),
    name: text('name').notNull(),
    /** True for what Muster made because an overlay declared it; such rows are part of no revision and never change. */
    generated: integer('generated', { mode: 'boolean' }).notNull(),
    /** Base64 of nonce and ciphertext. */
    sealed: text('sealed').notNull(),
    /** Which key it is sealed with. */
    key: text('key').notNull(),
    /** What may be known of it: the public half of a key pair. */
    public: text('public'),
    /** 0 for what was generated. */
    revision: integer('revision').notNull(),
    changedAt: integer('changed_at', { mode: 'timestamp_ms' }).notNull(),
  },
  (table) => [primaryKey({ columns: [table.owner, table.name, table.generated] })],
)

/** What a token may do: `read` sees, `edit` changes nodes, profiles, images and overlays, `admin` makes tokens too. */
export const scopes = ['read', 'edit', 'admin'] as const
/** One of {@link scopes}; each includes the ones before it. */
export type Scope = (typeof scopes)[number]

/** Bearer tokens. Only the sha256 of a token is kept: it is 256 random bits, so no salt is needed. */
export const tokens = sqliteTable(
  'tokens',
  {
    name: text('name').primaryKey(),
    hash: text('hash').notNull(),
    scope: text('scope').$type<Scope>().notNull(),
    createdAt: integer('created_at', { mode: 'timestamp_ms' }).notNull(),
    expiresAt: integer('expires_at', { mode: 'timestamp_ms' }),
    revision: integer('revision').notNull(),
  },
  (table) => [uniqueIndex('tokens_hash').on(table.hash)],
)

/** One acknowledged edit. The newest id is the registry's revision; ids have no gaps. */
export const revisions = sqliteTable('revisions', {
  id: integer('id').primaryKey(),
  at: integer('at', { mode: 'timestamp_ms' }).notNull(),
  /** Name of the token that asked for it. */
  author: text('author').notNull(),
  message: text('message').notNull(),
})

/** What a revision changed, thing by thing. `before` is null for what was made, `after` for what was deleted. */
export const changes = sqliteTable(
  'changes',
  {
    revision: integer('revision')
      .notNull()
      .references(() => revisions.id),
    noun: text('noun').$type<Noun>().notNull(),
    name: text('name').notNull(),
    before: text('before', { mode: 'json' }).$type<Json>(),
    after: text('after', { mode: 'json' }).$type<Json>(),
  },
  (table) => [
    primaryKey({ columns: [table.revision, table.noun, table.name] }),
    index('changes_thing').on(table.noun, table.name),
  ],
)

/** The kinds of things that revisions speak of. */
export type Noun = 'node' | 'profile' | 'image' | 'rollout' | 'overlay' | 'secret' | 'token'

/** Every table, as drizzle wants them. */
export const registrySchema = {
  nodes,
  profiles,
  netdevs,
  images,
  imageVersions,
  imageTags,
  imageLayers,
  rootArchives,
  rollouts,
  overlays,
  overlayVersions,
  overlayContents,
  secrets,
  tokens,
  revisions,
  changes,
}

/** A statement that has not run yet, for `batch`: a drizzle builder or raw `sql`. */
export type Statement = SQLWrapper

/**
 * A drizzle database over either driver.
 *
 * better-sqlite3's queries are synchronous and D1's are not; both are typed here as asynchronous, and awaiting what is
 * already there costs a microtask. D1 has no interactive transactions, so writes that belong together are one `batch`.
 *
 * Building a query costs more than running it (some 50 µs against 5), so what runs per request is prepared once, by a
 * function that takes the database and returns the query:
 *
 *     const query = db.select().from(nodes).where(eq(nodes.name, sql.placeholder('name'))).prepare()
 *     return async (name: string) => await query.get({ name })
 */
export type Database<Schema extends Record<string, unknown>> = Omit<
  BaseSQLiteDatabase<'async', unknown, Schema>,
  'transaction'
> & {
  /**
   * Runs the statements in order, all or none. Errors pass as the driver throws them: `UNIQUE constraint failed:
   * netdevs.mac` is in the message under both, `code` (`SQLITE_CONSTRAINT_UNIQUE`) under better-sqlite3 only.
   */
  batch(statements: readonly Statement[]): Promise<void>
  /** How many batches this process has run. */
  writes(): number
  /** For how long what was read may be taken for current while `writes` stands still: others may write, too. */
  trustMilliseconds: number
  /** Runs `work` when no other `exclusive` work of this process is running. Not a transaction. Never nest it. */
  exclusive<T>(work: () => Promise<T>): Promise<T>
}

/** The registry, opened. */
export type RegistryDatabase = Database<typeof registrySchema>
