/**
 * What happened: boot attempts, their events, and machines that nobody knows yet.
 *
 * A database file of its own, so that a storm of reports never delays an edit. Written in batches by `journal.ts`; the
 * last fraction of a second may be lost in a crash, and nothing here is needed to boot.
 */
import { index, integer, sqliteTable, text, uniqueIndex } from 'drizzle-orm/sqlite-core'
import type { Database } from '../registry/schema.ts'
import type { Json } from '../registry/settings.ts'

/** One boot of one node, from its script to *ready*. */
export const attempts = sqliteTable(
  'attempts',
  {
    /** 128 random bits, hex: names the attempt in URLs. Not a secret. */
    id: text('id').primaryKey(),
    node: text('node').notNull(),
    mac: text('mac').notNull(),
    /** Where the script was asked from. */
    address: text('address'),
    startedAt: integer('started_at', { mode: 'timestamp_ms' }).notNull(),
    /** What the node was told to boot: image, kernel and overlay digests, revision. */
    plan: text('plan', { mode: 'json' }).$type<Json>().notNull(),
    /** sha256 of the ticket; null until the node fetched it. */
    ticketHash: text('ticket_hash'),
    /** When the node first used its ticket; from then on nobody can fetch it again. */
    ticketUsedAt: integer('ticket_used_at', { mode: 'timestamp_ms' }),
  },
  (table) => [index('attempts_node').on(table.node, table.startedAt), index('attempts_ticket').on(table.ticketHash)],
)

/** Steps of an attempt, in the order in which they were told. */
export const events = sqliteTable(
  'events',
  {
    id: integer('id').primaryKey({ autoIncrement: true }),
    attempt: text('attempt').notNull(),
    at: integer('at', { mode: 'timestamp_ms' }).notNull(),
    kind: text('kind').$type<EventKind>().notNull(),
    detail: text('detail', { mode: 'json' }).$type<Json>().notNull(),
  },
  (table) => [index('events_attempt').on(table.attempt, table.id)],
)

/** Steps of a boot that are told: some by the service, others by the node with its ticket. The script is the attempt itself. */
const eventKinds = ['blob', 'overlay', 'beacon', 'init', 'stage', 'failed', 'ready', 'applied'] as const
/** One of {@link eventKinds}. */
export type EventKind = (typeof eventKinds)[number]

/** Machines that asked for a script and belong to no node. Bounded: the ones seen longest ago make room. */
export const machines = sqliteTable(
  'machines',
  {
    mac: text('mac').primaryKey(),
    /** What iPXE said of it: uuid, serial, asset, arch, platform, manufacturer, product. */
    facts: text('facts', { mode: 'json' }).$type<Record<string, string>>().notNull(),
    address: text('address'),
    firstSeenAt: integer('first_seen_at', { mode: 'timestamp_ms' }).notNull(),
    lastSeenAt: integer('last_seen_at', { mode: 'timestamp_ms' }).notNull(),
    /** How often it was noted that it asked: `boot/sightings.ts` says how often that is. */
    requests: integer('requests').notNull(),
  },
  (table) => [index('machines_seen').on(table.lastSeenAt)],
)

/** The client of a node that was booted: its token, and what it said last. A node has one for each of its last few boots. */
export const agents = sqliteTable(
  'agents',
  {
    /** The attempt whose ticket was exchanged for the token. */
    attempt: text('attempt').primaryKey(),
    node: text('node').notNull(),
    /** sha256 of the token. */
    hash: text('hash').notNull(),
    createdAt: integer('created_at', { mode: 'timestamp_ms' }).notNull(),
    /** When it was heard of last; written every few minutes at most. */
    seenAt: integer('seen_at', { mode: 'timestamp_ms' }).notNull(),
    /** When it last said what it runs; null until then. */
    reportedAt: integer('reported_at', { mode: 'timestamp_ms' }),
    report: text('report', { mode: 'json' }).$type<AgentReport>(),
  },
  (table) => [uniqueIndex('agents_hash').on(table.hash), index('agents_node').on(table.node, table.createdAt)],
)

/** What a client says of its node. Everything is as the node says it: nothing here is trusted. */
export type AgentReport = {
  /** Digest of the image's manifest, as the boot's configuration had it. */
  image?: string
  /** `uname -r`. */
  kernel?: string
  /** Kernel arguments that the boot was planned with, joined by blanks. */
  args?: string
  /** sha256 (hex) of the overlay lists that were applied: see `overlays/tree.ts`. */
  system?: string
  runtime?: string
  /** Seconds since the kernel started. */
  uptime?: number
  memTotalKiB?: number
  memAvailableKiB?: number
  rootKind?: string
  rootSizeKiB?: number
  rootUsedKiB?: number
  /** The newest failure of the client, one line; absent when all is well. */
  failure?: string
}

/** Overlay lists that nodes were given, by digest, so that what a node has can be compared. Bounded: oldest out. */
export const trees = sqliteTable(
  'trees',
  {
    /** sha256 (hex) of the list as the node has it. */
    digest: text('digest').primaryKey(),
    /** The list, with `-` for the digests of private files. */
    list: text('list').notNull(),
    usedAt: integer('used_at', { mode: 'timestamp_ms' }).notNull(),
  },
  (table) => [index('trees_used').on(table.usedAt)],
)

/** Texts of files that nodes were given, by digest; never of private ones. Bounded: oldest out. */
export const texts = sqliteTable(
  'texts',
  {
    /** sha256 (hex). */
    digest: text('digest').primaryKey(),
    content: text('content').notNull(),
    usedAt: integer('used_at', { mode: 'timestamp_ms' }).notNull(),
  },
  (table) => [index('texts_used').on(table.usedAt)],
)

/** Every table, as drizzle wants them. */
export const activitySchema = { attempts, events, machines, agents, trees, texts }

/** The activity database, opened. */
export type ActivityDatabase = Database<typeof activitySchema>
