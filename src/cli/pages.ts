/** Lists that come in pages. */

/** A page as the API answers it. */
export type Page<Item, Key> = { items: Item[]; next: Key | null }

/** How many items are asked for at a time: the most that the API gives. */
export const pageSize = '1000'

/** All pages as one: the API's document, only longer. */
export async function allPages<Item>(
  read: (after: { after?: string }) => Promise<Page<Item, string>>,
): Promise<Page<Item, string>> {
  const items: Item[] = []
  let next: string | null = null
  do {
    const page: Page<Item, string> = await read(next === null ? {} : { after: next })
    items.push(...page.items)
    next = page.next
  } while (next !== null)
  return { items, next }
}
