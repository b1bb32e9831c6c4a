/**
 * What nodes were given: overlay lists by digest, and texts of public files. Written by the journal, so that what a node
 * reports to have can be compared with what it would get now. Losing a row costs detail only.
 */
import { type SQL, sql } from 'drizzle-orm'
import type { TreeEntry } from './journal.ts'
import { type ActivityDatabase, texts, trees } from './schema.ts'

/** The content of a file that nodes were given, by its sha256 in hex. */
export type Text = { type: 'text'; digest: string; content: string; at: Date }

/** Lists that are kept: the two of each of 10,000 nodes. The ones that nobody was given or reported for longest go first. */
export const treesAtMost = 20_000
/** Bytes of texts that are kept. */
export const textsAtMost = 64 * 1024 * 1024

/** A list that a node runs counts as used anew at most so often: reports come every few minutes. */
const millisecondsBetweenTouches = 3_600_000

/** Writes lists; one that is there already is used again. */
export const treeStatement = (
  told: readonly Omit<TreeEntry, 'texts'>[],
): SQL => sql`insert into ${trees} (digest, list, used_at)
  select value->>0, value->>1, value->>2 from json_each(${JSON.stringify(
    told.map(({ digest, list, at }) => [digest, list, at.getTime()]),
  )}) where true
  on conflict (digest) do update set used_at = max(used_at, excluded.used_at)`

/** Writes texts; one that is there already is used again. */
export const textStatement = (told: readonly Text[]): SQL => sql`insert into ${texts} (digest, content, used_at)
  select value->>0, value->>1, value->>2 from json_each(${JSON.stringify(
    told.map(({ digest, content, at }) => [digest, content, at.getTime()]),
  )}) where true
  on conflict (digest) do update set used_at = max(used_at, excluded.used_at)`

/** Notes that nodes run these lists, so that they stay while others come and go. */
export const touchStatement = (
  digests: readonly string[],
  at: Date,
): SQL => sql`update ${trees} set used_at = ${at.getTime()}
  where digest in (select value from json_each(${JSON.stringify(digests)})) and used_at < ${at.getTime() - millisecondsBetweenTouches}`

/**
 * Statements that keep both tables within their bounds: lists each time, texts in the first minute of an hour, because
 * adding their sizes up takes 150 ms of a head node when there are 100,000, and nothing else is answered meanwhile.
 */
export const forgetTrees = (now: Date): SQL[] => [
  sql`delete from ${trees} where rowid in
    (select rowid from ${trees} order by used_at desc, rowid desc limit -1 offset ${treesAtMost})`,
  ...(now.getUTCMinutes() === 0 ? [forgetTexts] : []),
]

const forgetTexts = sql`delete from ${texts} where rowid in (select id from
  (select rowid as id, sum(octet_length(content)) over (order by used_at desc, rowid desc) as total from ${texts})
  where total > ${textsAtMost})`

/** The lists with these digests (hex), by digest; those that are not known any more are missing. One query. */
export async function listsOf(db: ActivityDatabase, digests: readonly string[]): Promise<Map<string, string>> {
  if (digests.length === 0) return new Map()
  const rows = await db
    .select({ digest: trees.digest, list: trees.list })
    .from(trees)
    .where(sql`${trees.digest} in (select value from json_each(${JSON.stringify(digests)}))`)
    .all()
  return new Map(rows.map(({ digest, list }) => [digest, list]))
}

/** The texts with these digests (hex), by digest; those that are not known any more are missing. One query. */
export async function textsOf(db: ActivityDatabase, digests: readonly string[]): Promise<Map<string, string>> {
  if (digests.length === 0) return new Map()
  const rows = await db
    .select({ digest: texts.digest, content: texts.content })
    .from(texts)
    .where(sql`${texts.digest} in (select value from json_each(${JSON.stringify(digests)}))`)
    .all()
  return new Map(rows.map(({ digest, content }) => [digest, content]))
}
