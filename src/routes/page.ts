/** Pages of a list: `?limit=&after=`, answered `{ items, next }`, where `next` is the `after` of the page that follows. */
import { z } from '@hono/zod-openapi'

/** A whole number in a query, within bounds. */
export const wholeNumber = (least: number, most: number) =>
  z
    .string()
    .regex(/^[0-9]{1,15}$/, `must be a whole number from ${least} to ${most}`)
    .transform(Number)
    .pipe(z.int().min(least).max(most))
    .openapi({ type: 'integer', minimum: least, maximum: most })

/** `true` or `false` in a query. */
export const flag = z
  .enum(['true', 'false'])
  .transform((text) => text === 'true')
  .openapi({ type: 'boolean' })

const limit = wholeNumber(1, 1000).optional().openapi({ description: 'At most so many, 100 unless said otherwise' })

/** Query of a list that is sorted by name. */
export const pageQuery = z.object({
  limit,
  after: z.string().max(256).optional().openapi({ description: 'Begin after this name: `next` of the page before' }),
})

/** Query of a list that is sorted by revision, newest first. */
export const revisionPageQuery = z.object({
  limit,
  before: wholeNumber(1, Number.MAX_SAFE_INTEGER)
    .optional()
    .openapi({ description: 'Begin before this revision: `next` of the page before' }),
})

/** How many items a page has that does not say. */
export const defaultLimit = 100

/** A page of `limit` items out of `limit + 1`: the one more tells whether there is a next page. */
export function pageOf<Item, Key>(
  items: readonly Item[],
  limit: number,
  keyOf: (item: Item) => Key,
): { items: Item[]; next: Key | null } {
  const page = items.slice(0, limit)
  const last = page.at(-1)
  return { items: page, next: items.length > limit && last !== undefined ? keyOf(last) : null }
}
