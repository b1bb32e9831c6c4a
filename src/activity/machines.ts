/** Discovered machines: asked for a script and belong to no node. Written by the journal, which also bounds them. */
import { desc, eq, sql } from 'drizzle-orm'
import { type ActivityDatabase, machines } from './schema.ts'

/** A machine that nobody knows. */
export type Machine = typeof machines.$inferSelect

/** Machines, the one seen last first. */
export async function listMachines(db: ActivityDatabase, limit = 1000): Promise<Machine[]> {
  return db.select().from(machines).orderBy(desc(machines.lastSeenAt), desc(sql`rowid`)).limit(limit).all()
}

/** The machine with a MAC (lower case, colons), or `undefined`. */
export async function findMachine(db: ActivityDatabase, mac: string): Promise<Machine | undefined> {
  return (await db.select().from(machines).where(eq(machines.mac, mac)).get()) ?? undefined
}

/** Forgets machines, as when they became nodes. Those that are not there are no error. */
export async function deleteMachines(db: ActivityDatabase, macs: readonly string[]): Promise<void> {
  await db.delete(machines).where(sql`${machines.mac} in (select value from json_each(${JSON.stringify(macs)}))`)
}
