import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import Sqlite from 'better-sqlite3'
import { sql } from 'drizzle-orm'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { openActivity } from '../../src/activity/sqlite.ts'
import { nodes } from '../../src/registry/schema.ts'
import { openRegistry, openSqlite } from '../../src/registry/sqlite.ts'

let folder: string
let file: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'muster-sqlite-'))
  file = join(folder, 'registry.db')
})
afterEach(() => rmSync(folder, { recursive: true }))

const digestOf = (path: string) => createHash('sha256').update(readFileSync(path)).digest('hex')
/** Name and digest of every file of the folder. */
const contents = () => readdirSync(folder).map((name) => [name, digestOf(join(folder, name))])

describe('a registry file', () => {
  it.each([
    ['registry', openRegistry, 2, 5000],
    ['activity database', openActivity, 1, 100],
  ])('is opened for a %s with the durability that it promises', async (_name, open, synchronous, busy) => {
    const opened = open(file)
    const pragma = async (name: string) =>
      Object.values((await opened.database.get(sql.raw(`pragma ${name}`))) as object)
    expect(await pragma('journal_mode')).toEqual(['wal'])
    expect(await pragma('synchronous')).toEqual([synchronous])
    expect(await pragma('foreign_keys')).toEqual([1])
    expect(await pragma('busy_timeout')).toEqual([busy])
    opened.close()
  })

  it('is one plain file after a clean stop, and opens again as it was', async () => {
    const first = openRegistry(file)
    await first.database
      .insert(nodes)
      .values({ name: 'n1', profiles: [], settings: {}, revision: 1, changedAt: new Date(0) })
    first.close()
    expect(readdirSync(folder)).toEqual(['registry.db'])
    const second = openRegistry(file)
    expect(await second.database.select().from(nodes).all()).toHaveLength(1)
    second.close()
  })

  it('passes constraint errors on with the code that SQLite gave them', async () => {
    const { database, close } = openRegistry(file)
    const row = database
      .insert(nodes)
      .values({ name: 'n1', profiles: [], settings: {}, revision: 1, changedAt: new Date(0) })
    await database.batch([row])
    await expect(database.batch([row])).rejects.toMatchObject({ code: 'SQLITE_CONSTRAINT_PRIMARYKEY' })
    close()
  })

  it('of a newer program is refused and left as it is', () => {
    openRegistry(file).close()
    const newer = new Sqlite(file)
    newer.exec("insert into __drizzle_migrations (hash, created_at) values ('later', 4102444800000)")
    newer.close()
    const before = contents()
    expect(() => openRegistry(file)).toThrow(
      expect.objectContaining({
        code: 'REGISTRY_NEWER',
        message: expect.stringMatching(
          /registry .*registry\.db was written by a newer Muster \(tables of 2100-01-01, .*\): run that version/,
        ),
      }),
    )
    expect(contents()).toEqual(before)
  })

  it('of a newer program that crashed is refused, and what it had not yet moved out of its log is still there', () => {
    openRegistry(file).close()
    const newer = new Sqlite(file)
    newer.exec("insert into __drizzle_migrations (hash, created_at) values ('later', 4102444800000)")
    const crash = join(folder, 'crash')
    mkdirSync(crash)
    for (const name of ['registry.db', 'registry.db-wal']) cpSync(join(folder, name), join(crash, name))
    newer.close()
    const bytes = () => ['registry.db', 'registry.db-wal'].map((name) => digestOf(join(crash, name)))
    const before = bytes()
    expect(() => openRegistry(join(crash, 'registry.db'))).toThrow(expect.objectContaining({ code: 'REGISTRY_NEWER' }))
    expect(bytes()).toEqual(before)
  })

  it('that is not a database is refused', () => {
    writeFileSync(file, 'x'.repeat(5000))
    expect(() => openRegistry(file)).toThrow('file is not a database')
  })

  it('that is damaged is refused when it is opened after a crash', () => {
    const { close } = openRegistry(file)
    close()
    const bytes = readFileSync(file)
    bytes.fill(0xff, 4096, 5 * 4096)
    writeFileSync(file, bytes)
    writeFileSync(`${file}-wal`, '')
    expect(() => openRegistry(file)).toThrow(/damaged|malformed/)
  })

  it('has every edit that was acknowledged before a kill -9', async () => {
    const script = `
      import { openRegistry } from ${JSON.stringify(fileURLToPath(new URL('../../src/registry/sqlite.ts', import.meta.url)))}
      import { sql } from ${JSON.stringify(import.meta.resolve('drizzle-orm'))}
      const { database } = openRegistry(process.argv[1])
      for (let i = 0; ; i++) {
        await database.batch([
          sql\`insert into revisions values (\${i}, 0, 'a', '')\`,
          sql\`insert into nodes values (\${'n' + i}, '[]', '{}', \${i}, 0)\`,
        ])
        await new Promise((written) => process.stdout.write(i + '\\n', written))
      }`
    const child = spawn(process.execPath, ['--input-type=module', '-e', script, file], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    let acknowledged = -1
    for await (const line of createInterface(child.stdout)) {
      acknowledged = Number(line)
      if (acknowledged === 100) child.kill('SIGKILL')
    }
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
    expect(acknowledged).toBeGreaterThanOrEqual(100)
    const { database, close } = openRegistry(file)
    const counts = (await database.get(
      sql`select (select max(id) from revisions) as newest, (select count(*) from revisions) as revisions, (select count(*) from nodes) as nodes`,
    )) as { newest: number; revisions: number; nodes: number }
    expect(counts.newest).toBeGreaterThanOrEqual(acknowledged)
    expect(counts.revisions).toBe(counts.newest + 1)
    expect(counts.nodes).toBe(counts.revisions)
    close()
  })
})

describe('migrations', () => {
  const folders = { noun: 'registry', schema: {}, synchronous: 'FULL', busyMilliseconds: 100 } as const
  const first =
    'create table parents (id integer primary key);--> statement-breakpoint\ncreate table children (parent integer references parents(id) on delete cascade);'
  const rebuild = `create table __new (id integer primary key, more text);--> statement-breakpoint
    insert into __new select id, null from parents;--> statement-breakpoint
    drop table parents;--> statement-breakpoint
    alter table __new rename to parents;`

  const migrationsOf = (...texts: string[]) => {
    const migrations = join(folder, `migrations-${texts.length}`)
    mkdirSync(join(migrations, 'meta'), { recursive: true })
    const entries = texts.map((_text, idx) => ({
      idx,
      version: '6',
      when: 1000 + idx,
      tag: `${idx}`,
      breakpoints: true,
    }))
    writeFileSync(join(migrations, 'meta/_journal.json'), JSON.stringify({ version: '7', dialect: 'sqlite', entries }))
    texts.forEach((text, idx) => {
      writeFileSync(join(migrations, `${idx}.sql`), text)
    })
    return migrations
  }
  const open = (...texts: string[]) => openSqlite(file, { ...folders, migrations: migrationsOf(...texts) })

  it('that rebuild a table keep the rows that refer to it', async () => {
    const old = open(first)
    await old.database.batch([sql`insert into parents values (1)`, sql`insert into children values (1)`])
    old.close()
    const migrated = open(first, rebuild)
    expect(await migrated.database.all(sql`select id, more, parent from parents join children on parent = id`)).toEqual(
      [{ id: 1, more: null, parent: 1 }],
    )
    await expect(migrated.database.batch([sql`insert into children values (2)`])).rejects.toThrow('FOREIGN KEY')
    migrated.close()
  })

  it('that fail half-way leave the old tables, and run whole the next time', async () => {
    open(first).close()
    expect(() => open(first, 'alter table parents add column a text;--> statement-breakpoint\nnonsense;')).toThrow()
    const again = open(first, 'alter table parents add column a text;')
    expect(await again.database.all(sql`select name from pragma_table_info('parents')`)).toEqual([
      { name: 'id' },
      { name: 'a' },
    ])
    again.close()
  })
})
