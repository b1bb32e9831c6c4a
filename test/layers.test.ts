/** Who may import whom. The rules are the tables; the source is read, never run. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'

/** Files that start something. They may import anything, and nobody imports them. */
const entries = ['head.ts', 'worker.ts', 'cli/main.ts']

/** Parts of entries that have a file of their own. They may import anything; only entries and one another import them. */
const entryParts = ['assets/fs.ts', 'assets/worker.ts', 'config.ts', 'head/']

/** What the head node's command may import of those. */
const exceptions: Record<string, readonly string[]> = {
  'cli/serve.ts': ['config.ts', 'head.ts', 'head/line-log.ts', 'head/quick-imports.ts'],
}

/** Contracts that everyone may import. */
const everyones = ['errors.ts', 'log.ts']

/** Folder or file → what it may import, besides itself and the above. A folder ends in `/`. */
const layers: Record<string, readonly string[]> = {
  'errors.ts': [],
  'log.ts': [],
  'assets/assets.ts': [],
  'assets/path.ts': [],
  'archive/': [],
  'blobs/': [],
  'secrets/': ['archive/'],
  'registry/': ['archive/base64.ts', 'blobs/digest.ts', 'secrets/'],
  'activity/': ['registry/'],
  'auth/': ['registry/', 'blobs/digest.ts'],
  'images/': ['archive/', 'blobs/', 'registry/', 'activity/blobs-wanted.ts'],
  'rollouts/': ['registry/', 'activity/', 'boot/outcome.ts', 'images/'],
  'sources/': ['archive/', 'blobs/digest.ts'],
  'overlays/': ['archive/', 'blobs/', 'registry/', 'assets/assets.ts'],
  'boot/': [
    'images/',
    'overlays/',
    'activity/',
    'registry/',
    'auth/',
    'archive/',
    'blobs/digest.ts',
    'assets/assets.ts',
  ],
  'services.ts': [],
  'web/': [],
  'routes/': [
    'archive/',
    'blobs/',
    'registry/',
    'activity/',
    'auth/',
    'images/',
    'overlays/',
    'boot/',
    'rollouts/',
    'web/',
    'assets/assets.ts',
  ],
  'app.ts': [
    'routes/',
    'boot/agents.ts',
    'boot/archives.ts',
    'boot/attempts.ts',
    'boot/given-trees.ts',
    'overlays/store.ts',
    'registry/newest-revision.ts',
  ],
  'cli/': ['sources/', 'archive/', 'blobs/digest.ts'],
}

/** Folder or file → what else it may import by `import type`. */
const types: Record<string, readonly string[]> = {
  'secrets/': ['overlays/manifest.ts'],
  'registry/': ['images/manifest.ts', 'overlays/manifest.ts'],
  'activity/': ['blobs/digest.ts'],
  'images/': ['activity/'],
  'overlays/': ['services.ts'],
  'boot/': ['services.ts', 'blobs/'],
  'services.ts': ['activity/', 'assets/assets.ts', 'blobs/', 'images/', 'registry/', 'secrets/key.ts'],
  'routes/': ['services.ts'],
  'app.ts': ['services.ts'],
  'cli/': ['app.ts'],
}

/** Package → who may import it, besides entries and their parts. A package that is not here is for entries alone. */
const packages: Record<string, readonly string[]> = {
  '@hono/node-server': ['blobs/sender.ts'],
  '@hono/zod-openapi': ['routes/', 'app.ts', 'registry/'],
  'better-sqlite3': ['registry/sqlite.ts', 'images/packages/rpm-sqlite.ts'],
  commander: ['cli/'],
  'drizzle-orm': ['registry/', 'activity/', 'auth/'],
  fflate: ['archive/', 'images/', 'overlays/'],
  hono: ['routes/', 'web/', 'app.ts', 'cli/client.ts'],
  mustache: ['overlays/', 'boot/'],
  unstorage: ['blobs/unstorage.ts'],
  yaml: ['overlays/', 'cli/'],
}

/** What a Worker does not have. */
const headNodeOnly = /^(?:node:|better-sqlite3|@hono\/node-server|drizzle-orm\/(?:better-sqlite3|migrator))/

type Import = { from: string; to: string; type: boolean; star: boolean }
/** Path below `src` → text. */
type Sources = Readonly<Record<string, string>>

/** Imports of a file. `import { type A }` is one of a value: it loads the module when the types are gone. */
function importsOf(from: string, text: string): Import[] {
  const code = text.split('\n').filter((line) => !/^\s*(?:\*|\/\*|\/\/)/.test(line))
  const statements = code.join('\n').matchAll(/(?:^|\n)(?:import|export)\s+(type\s)?([^'"`;=]*?)\s*from\s+'([^']+)'/g)
  const effects = code.join('\n').matchAll(/(?:^|\n)()()import\s+'([^']+)'|\bimport\(\s*'([^']+)'/g)
  return [...statements, ...effects].map(([, type, names, named, dynamic]) => {
    const to = named ?? dynamic ?? ''
    const local = to.startsWith('.')
    return {
      from,
      to: local ? join(from, '..', to) : to,
      type: Boolean(type),
      star: names?.trim() === '*',
    }
  })
}

const within = (path: string, places: readonly string[] = []): boolean =>
  places.some((place) => (place.endsWith('/') ? path.startsWith(place) : path === place))

const layerOf = (path: string): string | undefined => Object.keys(layers).find((layer) => within(path, [layer]))

const isPackage = ({ to }: Import): boolean => !/\.(?:ts|json)$/.test(to)
const packageOf = (to: string): string =>
  (to.startsWith('@') ? to.split('/').slice(0, 2) : to.split('/').slice(0, 1)).join('/')

/** Everything that breaks a rule, as sentences. */
function faultsOf(sources: Sources): string[] {
  const all = Object.entries(sources).flatMap(([path, text]) => importsOf(path, text))
  return [
    ...Object.keys(sources).flatMap(placeFault),
    ...all.flatMap((one) => (isPackage(one) ? packageFault(one) : layerFault(one))),
    ...all.filter(({ star }) => star).map(({ from, to }) => `${from} hands on all of ${to}: no barrels`),
    ...cyclesOf(all.filter(({ type }) => !type)),
    ...portabilityFaults(all.filter(({ type }) => !type)),
  ]
}

function placeFault(path: string): string[] {
  if (/(?:^|\/)index\.ts$/.test(path)) return [`${path} is a barrel`]
  if (layerOf(path) || within(path, [...entries, ...entryParts])) return []
  return [`${path} has no place in the layers`]
}

function layerFault({ from, to, type }: Import): string[] {
  if (within(to, exceptions[from])) return []
  const fromEntry = within(from, [...entries, ...entryParts])
  if (within(to, entries)) return [`${from} imports the entry ${to}`]
  if (within(to, entryParts)) return fromEntry ? [] : [`${from} imports ${to}, which is for entries`]
  const layer = layerOf(from)
  if (fromEntry || layer === undefined || within(to, [layer, ...everyones, ...(layers[layer] ?? [])])) return []
  if (!within(to, types[layer])) return [`${from} must not import ${to}`]
  return type ? [] : [`${from} must import ${to} by \`import type\` alone`]
}

function packageFault({ from, to }: Import): string[] {
  if (to.startsWith('node:') || within(from, [...entries, ...entryParts])) return []
  return within(from, packages[packageOf(to)]) ? [] : [`${from} must not import the package ${to}`]
}

function cyclesOf(imports: readonly Import[]): string[] {
  const next = Map.groupBy(imports, ({ from }) => from)
  const done = new Set<string>()
  const visit = (path: string, trail: readonly string[]): string[] => {
    if (trail.includes(path)) return [`cycle: ${[...trail.slice(trail.indexOf(path)), path].join(' → ')}`]
    if (done.has(path)) return []
    const found = (next.get(path) ?? []).flatMap(({ to }) => visit(to, [...trail, path]))
    done.add(path)
    return found
  }
  return [...next.keys()].flatMap((path) => visit(path, []))
}

function portabilityFaults(imports: readonly Import[]): string[] {
  const next = Map.groupBy(imports, ({ from }) => from)
  const reached = new Set(['worker.ts'])
  // A Set takes in what is added to it while it is walked.
  for (const path of reached) for (const { to } of next.get(path) ?? []) reached.add(to)
  return imports
    .filter(({ from, to }) => reached.has(from) && headNodeOnly.test(to))
    .map(({ from, to }) => `${from} imports ${to} and worker.ts reaches it`)
}

function sourceTree(): Sources {
  const root = fileURLToPath(new URL('../src', import.meta.url))
  const files = readdirSync(root, { recursive: true, encoding: 'utf8' }).filter((path) => path.endsWith('.ts'))
  return Object.fromEntries(files.map((path) => [path, readFileSync(join(root, path), 'utf8')]))
}

describe('the source', () => {
  const sources = sourceTree()

  it('breaks no rule of the layers', () => {
    expect(faultsOf(sources)).toEqual([])
  })

  it('is read as it is: the imports that must be there are found', () => {
    const imports = Object.entries(sources).flatMap(([path, text]) => importsOf(path, text))
    const has = (from: string, to: string, type: boolean) =>
      imports.some((one) => one.from === from && one.to === to && one.type === type)
    expect(has('app.ts', 'services.ts', true)).toBe(true)
    expect(has('app.ts', 'routes/blobs.ts', false)).toBe(true)
    expect(has('registry/sqlite.ts', 'node:fs', false)).toBe(true)
    expect(has('worker.ts', '../boot-assets/index.json', false)).toBe(true)
    expect(has('cli/serve-command.ts', 'cli/serve.ts', false)).toBe(true)
  })
})

describe('the rules', () => {
  const offences: [string, Sources, string][] = [
    [
      'a lower layer that reaches up',
      { 'archive/tar.ts': "import { put } from '../blobs/fs.ts'" },
      'archive/tar.ts must not import blobs/fs.ts',
    ],
    [
      'the error table with imports',
      { 'errors.ts': "import { hex } from './blobs/digest.ts'" },
      'errors.ts must not import blobs/digest.ts',
    ],
    [
      'a domain folder that knows routes',
      { 'boot/plan.ts': "import { guard } from '../routes/guard.ts'" },
      'boot/plan.ts must not import routes/guard.ts',
    ],
    [
      'a value where only types may pass',
      { 'registry/nodes.ts': "import { empty } from '../images/manifest.ts'" },
      'registry/nodes.ts must import images/manifest.ts by `import type` alone',
    ],
    [
      'a type in the braces of a value import',
      { 'cli/client.ts': "import { type App } from '../app.ts'" },
      'cli/client.ts must import app.ts by `import type` alone',
    ],
    [
      'the command line in a domain folder',
      { 'cli/node.ts': "import type { Node } from '../registry/nodes.ts'" },
      'cli/node.ts must not import registry/nodes.ts',
    ],
    [
      'an import over several lines',
      { 'blobs/fs.ts': "import {\n  a,\n  b,\n} from '../registry/nodes.ts'" },
      'blobs/fs.ts must not import registry/nodes.ts',
    ],
    [
      'an import when it is needed',
      { 'images/import.ts': "const later = await import('../boot/plan.ts')" },
      'images/import.ts must not import boot/plan.ts',
    ],
    [
      'an export of what is another file’s',
      { 'auth/tokens.ts': "export { plan } from '../boot/plan.ts'" },
      'auth/tokens.ts must not import boot/plan.ts',
    ],
    [
      'an entry that is imported',
      { 'app.ts': "import { startHead } from './head.ts'" },
      'app.ts imports the entry head.ts',
    ],
    [
      'an entry that is imported by another',
      { 'worker.ts': "import { startHead } from './head.ts'" },
      'worker.ts imports the entry head.ts',
    ],
    [
      'configuration outside of entries',
      { 'routes/nodes.ts': "import { readConfig } from '../config.ts'" },
      'routes/nodes.ts imports config.ts, which is for entries',
    ],
    [
      'configuration in another command than serve',
      { 'cli/node.ts': "import { readConfig } from '../config.ts'" },
      'cli/node.ts imports config.ts, which is for entries',
    ],
    ['a file that nobody placed', { 'helpers.ts': '' }, 'helpers.ts has no place in the layers'],
    ['an index', { 'blobs/index.ts': '' }, 'blobs/index.ts is a barrel'],
    [
      'a barrel by another name',
      { 'blobs/all.ts': "export * from './fs.ts'" },
      'blobs/all.ts hands on all of blobs/fs.ts: no barrels',
    ],
    [
      'a cycle',
      {
        'blobs/a.ts': "import { b } from './b.ts'",
        'blobs/b.ts': "import { c } from './c.ts'",
        'blobs/c.ts': "import { b } from './b.ts'",
      },
      'cycle: blobs/b.ts → blobs/c.ts → blobs/b.ts',
    ],
    [
      'a Node module below the Worker',
      {
        'worker.ts': "import { createApp } from './app.ts'",
        'app.ts': "import { range } from './routes/range.ts'",
        'routes/range.ts': "import { createHash } from 'node:crypto'",
      },
      'routes/range.ts imports node:crypto and worker.ts reaches it',
    ],
    [
      'a Node module that the Worker loads for its effect',
      { 'worker.ts': "import 'node:process'" },
      'worker.ts imports node:process and worker.ts reaches it',
    ],
    [
      'the SQLite driver below the Worker',
      {
        'worker.ts': "import { a } from './registry/sqlite.ts'",
        'registry/sqlite.ts': "import S from 'better-sqlite3'",
      },
      'registry/sqlite.ts imports better-sqlite3 and worker.ts reaches it',
    ],
    ...(
      [
        ['routes/nodes.ts', 'drizzle-orm/sqlite-core'],
        ['routes/boot.ts', 'mustache'],
        ['registry/nodes.ts', 'hono'],
        ['cli/node.ts', 'hono/client'],
        ['boot/plan.ts', 'yaml'],
        ['blobs/fs.ts', 'unstorage/drivers/fs'],
        ['routes/blobs.ts', '@hono/node-server/utils/response'],
        ['boot/plan.ts', 'lodash'],
      ] as const
    ).map(([file, name]): [string, Sources, string] => [
      `${name} in ${file}`,
      { [file]: `import { x } from '${name}'` },
      `${file} must not import the package ${name}`,
    ]),
  ]

  it.each(offences)('catch %s', (_label, sources, fault) => {
    expect(faultsOf(sources)).toEqual([fault])
  })

  it.each([
    ['types that may pass', { 'registry/schema.ts': "import type { ImageManifest } from '../images/manifest.ts'" }],
    ['the command that starts the service', { 'cli/serve.ts': "import { startHead } from '../head.ts'" }],
    [
      'a cycle of types',
      { 'blobs/a.ts': "import type { B } from './b.ts'", 'blobs/b.ts': "import { a } from './a.ts'" },
    ],
    ['imports in comments', { 'blobs/a.ts': " * import { b } from '../app.ts'\n// import { b } from '../app.ts'" }],
    ['Node modules where the Worker does not go', { 'images/import.ts': "import { open } from 'node:fs/promises'" }],
  ])('let %s pass', (_label, sources: Sources) => {
    expect(faultsOf(sources)).toEqual([])
  })
})
