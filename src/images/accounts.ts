/** passwd(5) and group(5): lines of names and ids. Pure; texts are byte strings, because names need not be UTF-8. */
import type { ByteString } from '../archive/byte-string.ts'

/** Names and ids of one file. Of a name or an id that stands there twice, the first counts, as in getpwnam(3). */
export type Accounts = { byName: Map<ByteString, number>; byId: Map<number, ByteString> }

/** Ids that become others. */
type Moves = { uids: ReadonlyMap<number, number>; gids: ReadonlyMap<number, number> }

/** The highest id that means somebody: 2³²-1 is "nobody in particular" (chown(2)), 65534 the overflow id. */
const overflowId = 65_534

/** The accounts of a file whose lines have so many fields. Lines for NIS (`+`, `-`) and such that are damaged are left out. */
export function parseAccounts(text: ByteString, fields: 7 | 4): Accounts {
  const byName = new Map<ByteString, number>()
  const byId = new Map<number, ByteString>()
  for (const line of text.split('\n')) {
    const account = parseLine(line, fields)
    if (!account || byName.has(account.name)) continue
    byName.set(account.name, account.id)
    if (!byId.has(account.id)) byId.set(account.id, account.name)
  }
  return { byName, byId }
}

/** An id that nobody has: below 1000 for system accounts, going down, else going up. */
export function freeId(like: number, taken: ReadonlySet<number>): number {
  if (like < 1000) for (let id = 999; id >= 100; id--) if (!taken.has(id)) return id
  let id = Math.max(like, 1000)
  while (taken.has(id) || id === overflowId) id++
  return id
}

/**
 * The head node's lines as they are, and after them the image's for names that the head node does not have, with the ids that
 * they have become. Of a group that both have, the members of the image stay members.
 */
export function mergedLines(file: 'passwd' | 'group', host: ByteString, image: ByteString, moves: Moves): ByteString {
  const fields = file === 'passwd' ? 7 : 4
  const images = linesOf(image)
  const known = parseAccounts(host, fields).byName
  const members = file === 'group' ? membersOf(images) : new Map<ByteString, ByteString[]>()
  const lines = linesOf(host).map((line) => (file === 'group' ? withMembers(line, members) : line))
  for (const line of images) {
    const account = parseLine(line, fields)
    if (account ? known.has(account.name) : lines.includes(line)) continue
    lines.push(account ? moved(line, file, moves) : line)
  }
  return lines.map((line) => `${line}\n`).join('')
}

function parseLine(line: ByteString, fields: number): { name: ByteString; id: number } | undefined {
  const parts = line.split(':')
  const [name = '', , id = ''] = parts
  if (parts.length !== fields || name === '' || /^[+-]/.test(name) || !/^[0-9]{1,10}$/.test(id)) return undefined
  return Number(id) < 2 ** 32 - 1 ? { name, id: Number(id) } : undefined
}

/** A line with its ids moved. A group has the id where a user has it; a user also has one for its group. */
function moved(line: ByteString, file: 'passwd' | 'group', { uids, gids }: Moves): ByteString {
  const parts = line.split(':')
  const put = (at: number, ids: ReadonlyMap<number, number>) => {
    const id = Number(parts[at])
    parts[at] = String(ids.get(id) ?? parts[at])
  }
  put(2, file === 'passwd' ? uids : gids)
  if (file === 'passwd') put(3, gids)
  return parts.join(':')
}

const membersOf = (lines: ByteString[]): Map<ByteString, ByteString[]> =>
  new Map(
    lines.toReversed().flatMap((line) => {
      const account = parseLine(line, 4)
      return account ? [[account.name, (line.split(':')[3] ?? '').split(',').filter(Boolean)] as const] : []
    }),
  )

function withMembers(line: ByteString, members: ReadonlyMap<ByteString, ByteString[]>): ByteString {
  const account = parseLine(line, 4)
  const more = account && members.get(account.name)
  if (!more) return line
  const parts = line.split(':')
  const own = (parts[3] ?? '').split(',').filter(Boolean)
  parts[3] = [...own, ...more.filter((name) => !own.includes(name))].join(',')
  return parts.join(':')
}

const linesOf = (text: ByteString): ByteString[] => text.split('\n').filter((line) => line !== '')
