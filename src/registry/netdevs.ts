/** The index that gives each MAC and each address to one node: its rows, and what it says when something is taken. */
import { sql } from 'drizzle-orm'
import { AppError } from '../errors.ts'
import { netdevs, type RegistryDatabase, type Statement } from './schema.ts'
import type { Settings } from './settings.ts'

/** A row of the index. */
export type NetdevRow = {
  node: string
  name: string
  mac: string | null
  address: string | null
  address6: string | null
}

/** The rows that a node's settings ask for. Addresses lose their prefix length; IPv6 is spelt as RFC 5952 has it. */
export function netdevRows(node: string, settings: Settings): NetdevRow[] {
  return Object.entries(settings.netdevs ?? {}).flatMap(([name, netdev]) => {
    const mac = netdev?.mac ?? null
    const address = netdev?.address?.split('/')[0] ?? null
    const address6 = netdev?.address6 ? canonicalIpv6(netdev.address6.split('/')[0] ?? '') : null
    return (mac ?? address ?? address6) ? [{ node, name, mac, address, address6 }] : []
  })
}

/** An IPv6 address in its one canonical spelling (RFC 5952), as the URL standard's host serializer gives it. */
const canonicalIpv6 = (address: string): string => new URL(`http://[${address}]/`).hostname.slice(1, -1)

/** Throws `MAC_TAKEN` or `ADDRESS_TAKEN`, naming both nodes, when two of the rows or a row and another node collide. */
export async function checkFree(
  db: RegistryDatabase,
  rows: readonly NetdevRow[],
  edited: readonly string[],
): Promise<void> {
  const seen = new Map<string, NetdevRow>()
  for (const row of rows) {
    for (const column of columns) {
      const value = row[column]
      if (value === null) continue
      const other = seen.get(value)
      if (other) throw taken(column, value, row, other.node)
      seen.set(value, row)
    }
  }
  if (seen.size === 0) return
  const values = JSON.stringify([...seen.keys()])
  const names = JSON.stringify(edited)
  const others = await db
    .select()
    .from(netdevs)
    .where(
      sql`(${netdevs.mac} in (select value from json_each(${values})) or ${netdevs.address} in (select value from json_each(${values}))
        or ${netdevs.address6} in (select value from json_each(${values}))) and ${netdevs.node} not in (select value from json_each(${names}))`,
    )
    .limit(1)
    .all()
  for (const other of others) {
    for (const column of columns) {
      const value = other[column]
      const row = value === null ? undefined : seen.get(value)
      if (value !== null && row) throw taken(column, value, row, other.node)
    }
  }
}

/** Statements that make the index say what `rows` say about the edited nodes, however many they are. */
export function indexStatements(
  db: RegistryDatabase,
  rows: readonly NetdevRow[],
  edited: readonly string[],
): Statement[] {
  return [
    db.delete(netdevs).where(sql`${netdevs.node} in (select value from json_each(${JSON.stringify(edited)}))`),
    db
      .insert(netdevs)
      .select(
        sql`select value->>'node', value->>'name', value->>'mac', value->>'address', value->>'address6' from json_each(${JSON.stringify(rows)})`,
      ),
  ]
}

const columns = ['mac', 'address', 'address6'] as const

function taken(column: (typeof columns)[number], value: string, row: NetdevRow, other: string): AppError {
  const code = column === 'mac' ? 'MAC_TAKEN' : 'ADDRESS_TAKEN'
  const message =
    other === row.node
      ? `node ${row.node} has ${value} on two netdevs`
      : `node ${row.node} cannot have ${value}: it belongs to node ${other}`
  return new AppError(code, message, { field: `settings.netdevs.${row.name}.${column}` })
}
