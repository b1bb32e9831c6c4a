/** Package databases as rpm and dpkg write them, in every format that images have, and the order of versions. */
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { digestOf } from '../../src/blobs/digest.ts'
import { diffPackages } from '../../src/images/packages/diff.ts'
import { parseDpkgStatus } from '../../src/images/packages/dpkg.ts'
import type { Package } from '../../src/images/packages/package.ts'
import { readPackages } from '../../src/images/packages/read.ts'
import { compareVersions } from '../../src/images/packages/versions.ts'
import { type Inode, treeOf } from '../../src/images/tree.ts'

let folder = ''
/** The database that rpm has made, and the header blobs in it by their number. */
let sqlite: Uint8Array<ArrayBuffer>
let log: Uint8Array<ArrayBuffer>
let headers: Map<number, Uint8Array>

const expected: Package[] = [
  { name: 'kernel', version: '5.14.0-1.el9', architecture: 'noarch', manager: 'rpm' },
  { name: 'kernel', version: '5.14.0-2.el9', architecture: 'noarch', manager: 'rpm' },
  { name: 'tool', version: '2:1.0-3', architecture: 'noarch', manager: 'rpm' },
]

/** Packages built by rpmbuild and installed by rpm into a database of its own. */
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'muster-rpm-'))
  const build = (name: string, version: string, release: string, extra = '') => {
    const spec = join(folder, `${name}-${release}.spec`)
    writeFileSync(
      spec,
      `Name: ${name}\n${extra}Version: ${version}\nRelease: ${release}\nSummary: s\nLicense: x\nBuildArch: noarch\n%description\nd\n%files\n`,
    )
    execFileSync('rpmbuild', ['-bb', '--quiet', '--define', `_topdir ${folder}/top`, spec], { stdio: 'ignore' })
    return `${folder}/top/RPMS/noarch/${name}-${version}-${release}.noarch.rpm`
  }
  const built = [
    build('tool', '1.0', '3', 'Epoch: 2\n'),
    build('kernel', '5.14.0', '1.el9'),
    build('kernel', '5.14.0', '2.el9'),
  ]
  const place = ['--root', `${folder}/root`, '--define', '_dbpath /var/lib/rpm', '--define', '_db_backend sqlite']
  execFileSync('mkdir', ['-p', `${folder}/root/var/lib/rpm`])
  execFileSync('rpm', [...place, '--initdb'], { stdio: 'ignore' })
  execFileSync('rpm', [...place, '--justdb', '--nodeps', '--nosignature', '-i', ...built], { stdio: 'ignore' })
  const file = `${folder}/root/var/lib/rpm/rpmdb.sqlite`
  sqlite = new Uint8Array(readFileSync(file))
  log = new Uint8Array(readFileSync(`${file}-wal`))
  const database = new Database(file)
  const rows = database.prepare('select hnum, blob from Packages').all() as { hnum: number; blob: Uint8Array }[]
  database.close()
  headers = new Map(rows.map(({ hnum, blob }) => [hnum, blob]))
}, 60_000)
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** What is installed in an image with these files. */
async function installedIn(files: Record<string, Uint8Array<ArrayBuffer>>, links: Record<string, string> = {}) {
  const directory: Inode = { type: 'directory', implied: false, mode: 0o755, uid: 0, gid: 0, mtime: 0, links: 1 }
  const inodes = new Map<string, Inode>([['', directory]])
  const contents = new Map<string, Uint8Array<ArrayBuffer>>()
  const put = (path: string, inode: Inode) => {
    path
      .split('/')
      .slice(0, -1)
      .reduce((above, part) => {
        const here = above === '' ? part : `${above}/${part}`
        inodes.set(here, directory)
        return here
      }, '')
    inodes.set(path, inode)
  }
  for (const [path, bytes] of Object.entries(files)) {
    const digest = await digestOf(bytes)
    contents.set(digest, bytes)
    put(path, { ...directory, type: 'file', size: bytes.length, digest } as Inode)
  }
  for (const [path, target] of Object.entries(links)) put(path, { ...directory, type: 'link', target } as Inode)
  return readPackages({
    tree: treeOf(inodes),
    contents: {
      has: (digest) => contents.has(digest),
      async *read({ digest }) {
        yield contents.get(digest)!
      },
    },
  })
}

/** The same headers as Berkeley DB's own tool writes them into a hash, one of them small enough to stay in its page. */
function berkeley(pageSize: number): Uint8Array<ArrayBuffer> {
  const number = (value: number) => Buffer.from(Uint32Array.of(value).buffer).toString('hex')
  const records = [...headers].flatMap(([key, blob]) => [` ${number(key)}`, ` ${Buffer.from(blob).toString('hex')}`])
  const head = ['VERSION=3', 'format=bytevalue', 'type=hash', `db_pagesize=${pageSize}`, 'HEADER=END']
  const counter = [` ${number(0)}`, ` ${number(headers.size)}`]
  const dump = [...head, ...counter, ...records, 'DATA=END', ''].join('\n')
  const file = join(folder, `Packages-${pageSize}`)
  execFileSync('db5.3_load', ['-t', 'hash', file], { input: dump })
  return new Uint8Array(readFileSync(file))
}

/** The same headers as SUSE's rpm keeps them: header, slots in one page, blobs in blocks of 16 bytes, each with its end. */
function ndb(): Uint8Array<ArrayBuffer> {
  const blobs = [...headers].map(([key, blob]) => ({ key, blob, blocks: Math.ceil((blob.length + 28) / 16) }))
  const bytes = new Uint8Array(4096 + 16 * blobs.reduce((sum, { blocks }) => sum + blocks, 0))
  const view = new DataView(bytes.buffer)
  const text = (at: number, word: string) => bytes.set(new TextEncoder().encode(word), at)
  text(0, 'RpmP')
  view.setUint32(12, 1, true)
  for (let slot = 32; slot < 4096; slot += 16) text(slot, 'Slot')
  let block = 4096 / 16
  for (const [at, { key, blob, blocks }] of blobs.entries()) {
    // A slot in between that was given up.
    const slot = 32 + 16 * (at * 2)
    view.setUint32(slot + 4, key, true)
    view.setUint32(slot + 8, block, true)
    view.setUint32(slot + 12, blocks, true)
    text(block * 16, 'BlbS')
    view.setUint32(block * 16 + 4, key, true)
    view.setUint32(block * 16 + 12, blob.length, true)
    bytes.set(blob, block * 16 + 16)
    block += blocks
  }
  return bytes
}

describe('installed packages', () => {
  it('are read from the SQLite database of newer rpm', async () => {
    expect(await installedIn({ 'var/lib/rpm/rpmdb.sqlite': sqlite })).toEqual({ packages: expected, warnings: [] })
    const moved = { 'usr/lib/sysimage/rpm/rpmdb.sqlite': sqlite, 'usr/lib/sysimage/rpm/rpmdb.sqlite-wal': log }
    expect(await installedIn(moved, { 'var/lib/rpm': '../../usr/lib/sysimage/rpm' })).toEqual({
      packages: expected,
      warnings: [],
    })
  })

  it('are read with what is only in its write-ahead log', async () => {
    const file = join(folder, 'wal.sqlite')
    writeFileSync(file, sqlite)
    const writer = new Database(file)
    writer.pragma('journal_mode = wal')
    writer.pragma('wal_autocheckpoint = 0')
    writer.pragma('foreign_keys = off')
    writer.prepare('delete from Packages where hnum in (select hnum from Packages order by hnum limit 1)').run()
    const files = { base: new Uint8Array(readFileSync(file)), wal: new Uint8Array(readFileSync(`${file}-wal`)) }
    writer.close()
    const { packages } = await installedIn({
      'var/lib/rpm/rpmdb.sqlite': files.base,
      'var/lib/rpm/rpmdb.sqlite-wal': files.wal,
    })
    expect(packages).toHaveLength(expected.length - 1)
  })

  it.each([512, 4096, 65536])('are read from a Berkeley DB with pages of %i bytes', async (pageSize) => {
    expect(await installedIn({ 'var/lib/rpm/Packages': berkeley(pageSize) })).toEqual({
      packages: expected,
      warnings: [],
    })
  })

  it('are read from the database of SUSE', async () => {
    expect(await installedIn({ 'usr/lib/sysimage/rpm/Packages.db': ndb() })).toEqual({
      packages: expected,
      warnings: [],
    })
  })

  it('are read from the status file of dpkg, and from the folder that images without dpkg have', async () => {
    const status = [
      'Package: bash\nStatus: install ok installed\nArchitecture: amd64\nVersion: 5.2.15-2+b7\nDescription: shell\n with lines\n Package: no',
      'Package: gone\nStatus: deinstall ok config-files\nArchitecture: amd64\nVersion: 1',
      'Package: broken\nArchitecture: amd64',
    ].join('\n\n')
    const bytes = (text: string) => new TextEncoder().encode(text)
    const bash = { name: 'bash', version: '5.2.15-2+b7', architecture: 'amd64', manager: 'dpkg' }
    expect((await installedIn({ 'var/lib/dpkg/status': bytes(`${status}\n`) })).packages).toEqual([bash])
    const distroless = {
      'var/lib/dpkg/status.d/tzdata': bytes('Package: tzdata\nVersion: 2025a-0\nArchitecture: all\n'),
      'var/lib/dpkg/status.d/tzdata.md5sums': bytes('0123  ./usr/share/zoneinfo\n'),
    }
    expect((await installedIn(distroless)).packages).toEqual([
      { name: 'tzdata', version: '2025a-0', architecture: 'all', manager: 'dpkg' },
    ])
  })

  it('are those that dpkg lists on this machine', () => {
    const listed = execFileSync('dpkg-query', [
      '-W',
      '-f',
      '${db:Status-Status} ${Package} ${Version} ${Architecture}\n',
    ])
      .toString()
      .split('\n')
      .flatMap((line) => (line.startsWith('installed ') ? [line.slice('installed '.length)] : []))
    const read = parseDpkgStatus(readFileSync('/var/lib/dpkg/status', 'utf8'))
    expect(read.map(({ name, version, architecture }) => `${name} ${version} ${architecture}`).sort()).toEqual(
      listed.sort(),
    )
  })

  it.each(['rpmdb.sqlite', 'Packages', 'Packages.db'])(
    'are not guessed when %s is damaged: a warning says so',
    async (name) => {
      const whole = { 'rpmdb.sqlite': sqlite, Packages: berkeley(4096), 'Packages.db': ndb() }[name]!
      for (const damaged of [
        whole.slice(0, 3),
        whole.slice(0, whole.length / 2),
        new Uint8Array(whole.length).fill(0x53),
      ]) {
        const { packages, warnings } = await installedIn({ [`var/lib/rpm/${name}`]: damaged })
        expect(packages.length).toBeLessThanOrEqual(expected.length)
        if (packages.length < expected.length)
          expect(warnings).toEqual([
            expect.stringContaining(`the package database /var/lib/rpm/${name} cannot be read: `),
          ])
      }
    },
  )

  it('never take longer or another way out than a warning, whatever bytes are in a database', async () => {
    const originals = { 'rpmdb.sqlite': sqlite, Packages: berkeley(512), 'Packages.db': ndb() }
    const name = fc.constantFrom(...(Object.keys(originals) as (keyof typeof originals)[]))
    const flips = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 20 })
    await fc.assert(
      fc.asyncProperty(name, flips, async (file, some) => {
        const bytes = originals[file].slice()
        // The first bytes of a page say the most.
        for (const [at, value] of some) bytes[at % 3 === 0 ? at % bytes.length : at % 200] = value
        const { packages } = await installedIn({ [`var/lib/rpm/${file}`]: bytes })
        expect(packages.length).toBeLessThan(100)
      }),
      { numRuns: 200, seed: 20261122 },
    )
  }, 60_000)
})

describe('the order of versions', () => {
  const word = fc.constantFrom('0', '1', '2', '09', '10', 'a', 'b', 'rc', '.', '~', '^', '+', '-', '_')
  const versions = (pattern: RegExp) =>
    fc.array(word, { minLength: 1, maxLength: 7 }).map((words) => `1${words.join('')}`.replace(pattern, '.'))
  const signOf = (order: number) => Math.sign(order)

  it("is rpm's", () => {
    const version = versions(/-/g)
    const pairs = fc.sample(fc.tuple(version, version), { numRuns: 2000, seed: 1 })
    // One run of rpm's own Lua for all pairs. The words hold nothing that its syntax knows.
    const program = pairs.map(([one, other]) => `t[#t+1] = rpm.vercmp("${one}", "${other}")`).join('\n')
    const said = execFileSync('rpm', ['--eval', `%{lua:\nlocal t = {}\n${program}\nprint(table.concat(t, " "))\n}`])
      .toString()
      .trim()
      .split(' ')
      .map(Number)
    expect(pairs.map(([one, other]) => signOf(compareVersions('rpm', one, other)))).toEqual(said)
  })

  it("is dpkg's", () => {
    const version = versions(/[\^_-]/g)
    for (const [one, other] of fc.sample(fc.tuple(version, version), { numRuns: 250, seed: 2 })) {
      const order = signOf(compareVersions('dpkg', one, other))
      const relation = order < 0 ? 'lt' : order > 0 ? 'gt' : 'eq'
      const { status } = spawnSync('dpkg', ['--compare-versions', one, relation, other])
      expect([one, relation, other, status]).toEqual([one, relation, other, 0])
    }
  })

  it('begins with the epoch', () => {
    expect(compareVersions('rpm', '2:1.0-1', '3.0-1')).toBeGreaterThan(0)
    expect(compareVersions('dpkg', '1:1.0', '2.0')).toBeGreaterThan(0)
  })
})

describe('packages that differ', () => {
  const one = (name: string, version: string): Package => ({ name, version, architecture: 'x86_64', manager: 'rpm' })

  it('are told with the versions that only one side has', () => {
    const before = [
      one('bash', '5.1-1'),
      one('kernel', '1-1'),
      one('kernel', '1-2'),
      one('old', '1-1'),
      one('same', '1-1'),
    ]
    const after = [
      one('bash', '5.2-1'),
      one('kernel', '1-2'),
      one('kernel', '1-10'),
      one('new', '1-1'),
      one('same', '1-1'),
    ]
    expect(diffPackages(before, after).map(({ name, before, after, change }) => [name, before, after, change])).toEqual(
      [
        ['bash', ['5.1-1'], ['5.2-1'], 'upgraded'],
        ['kernel', ['1-1'], ['1-10'], 'upgraded'],
        ['new', [], ['1-1'], 'added'],
        ['old', ['1-1'], [], 'removed'],
      ],
    )
    expect(diffPackages(after, before)[0]?.change).toBe('downgraded')
    expect(diffPackages(before, before)).toEqual([])
  })
})
