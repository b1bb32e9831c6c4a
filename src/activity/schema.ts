/**
 * What happened: boot attempts, their events, and machines that nobody knows yet.
 *
 * A database file of its own, so that a storm of reports never delays an edit. Written in batches by `journal.ts`; the
 * last fraction of a second may be lost in a crash, and nothing here is needed to boot.
 */
import { index, integer, sqliteTable, text } from 'drizzle-orm/sqlite-core'
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
const eventKinds = ['blob', 'overlay', 'beacon', 'init', 'stage', 'failed', 'ready'] as const
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

/** Every table, as drizzle wants them. */
export const activitySchema = { attempts, events, machines }

/** The activity database, opened. */
export type ActivityDatabase = Database<typeof activitySchema>
