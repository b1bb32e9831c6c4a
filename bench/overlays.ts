/**
 * Overlays: CPU of rendering and packing what a node gets, with a dozen files and with all overlays that come with Muster;
 * 10,000 nodes cold, and again after an edit of one; and over HTTP, against a head node in a process of its own: 1,000 nodes
 * that ask at once for a changed overlay, 10,000 that poll each minute and have what there is, and the drift of all of them.
 * Beside it `find | cpio | pigz` packs the tree of one node, and a bare `node:http` server answers the same polls 304 without a
 * look at who asks: what is above that is Muster's. About three minutes; needs cpio and pigz (apt-get install cpio pigz).
 */
import { execFileSync } from 'node:child_process'
import { hash } from 'node:crypto'
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fsAssets } from '../src/assets/fs.ts'
import { type OverlayArchives, overlayArchives } from '../src/boot/archives.ts'
import type { RenderedFile } from '../src/overlays/render.ts'
import type { StoredMember } from '../src/registry/members.ts'
import { changeNodes, nodeByName } from '../src/registry/nodes.ts'
import type { RegistryDatabase } from '../src/registry/schema.ts'
import { generateSecret } from '../src/registry/secrets.ts'
import { createSnapshots, type Snapshot } from '../src/registry/snapshot.ts'
import { openRegistry } from '../src/registry/sqlite.ts'
import type { SecretKey } from '../src/secrets/key.ts'
import { createSecretKey } from '../src/secrets/seal.ts'
import { costOf } from './command.ts'
import { startHeadNode } from './head-node.ts'
import { accountsImage, dozen, editor, nameOf, seedHead, seedNodes, settingsOf, shipped } from './overlay-cluster.ts'
import { drift, editOne, poll, startBareServer, storm } from './overlay-storm.ts'
import { stop } from './processes.ts'
import { describeMachine, median, type Row, report } from './report.ts'

const nodes = 10_000
/** Nodes besides those that are measured, whose archives are made first: the compiler has seen the code, as on any head node that is up. */
const warmNodes = 2000
const rounds = 5
/** How often the tools pack a tree for one figure. */
const packings = 50

/** Measures and reports. */
export async function run(): Promise<void> {
  for (const tool of ['cpio', 'pigz']) execFileSync('sh', ['-c', `command -v ${tool}`], { stdio: 'ignore' })
  const machine = describeMachine()
  const folder = await mkdtemp(join(tmpdir(), 'muster-bench-'))
  try {
    const rows = [
      ...(await inProcess(await mkdtemp(join(folder, 'dozen-')), ['dozen'], 'a dozen files')),
      ...(await inProcess(await mkdtemp(join(folder, 'shipped-')), shipped(), 'all shipped overlays')),
      ...(await overHttp(await mkdtemp(join(folder, 'head-')))),
    ]
    report('overlays', machine, rows)
  } finally {
    await rm(folder, { recursive: true })
  }
}

/** What rendering, packing and keeping cost in the process itself. */
async function inProcess(folder: string, overlays: string[], what: string): Promise<Row[]> {
  const { database: registry, close } = openRegistry(join(folder, 'registry.db'))
  try {
    await seedNodes(registry, nodes + warmNodes, overlays)
    const secretKey = await createSecretKey(new Uint8Array(32).fill(1), 'the bench')
    // Making a key pair is once in the life of a node, and would be most of the figure.
    for (const name of ['ssh_host_ed25519_key', 'ssh_host_ecdsa_key'])
      await generateSecret({ registry, secretKey }, editor, { owner: 'cluster', name, kind: 'ssh-ed25519' })
    const archives = archivesOf(registry, secretKey)
    // What is the same for all is there as well, as it is for all nodes but the first of a storm.
    await pass(archives, registry, { first: nodes, count: warmNodes })
    const cold = await pass(archives, registry, { first: 0, count: nodes })
    const { files } = await systemTree(archives, registry, 1)
    const peer = await packedByTools(await mkdtemp(join(folder, 'tree-')), files)
    const edited = nameOf(nodes - 1)
    await changeNodes(
      registry,
      editor,
      async () => [edited],
      () => ({ profiles: ['all'], settings: settingsOf(nodes - 1, { rack: 'moved' }) }),
    )
    const again = await pass(archives, registry, { first: 0, count: nodes }, (node, snapshot) =>
      archives.digestOf(node, 'system', snapshot),
    )
    const goal = what === 'a dozen files' ? { goal: '<= 100', met: cold.micros <= 100 } : {}
    return [
      {
        metric: `render and pack, ${what}`,
        unit: 'us CPU',
        value: cold.micros,
        peer: peer * 1e6,
        ratio: cold.micros / (peer * 1e6),
        ...goal,
      },
      { metric: `files of a node, ${what}`, unit: '', value: files.length },
      {
        metric: `10,000 nodes cold, ${what}`,
        unit: 's',
        value: cold.seconds,
        ...(goal.goal && { goal: '<= 3', met: cold.seconds <= 3 }),
      },
      {
        metric: `kept for 10,000 nodes, ${what}`,
        unit: 'MiB',
        value: archives.kept() / 2 ** 20,
        ...(goal.goal && { goal: '<= 128', met: archives.kept() <= 2 ** 27 }),
      },
      {
        metric: `one edit, all ask again, ${what}: rendered`,
        unit: 'nodes',
        value: again.rendered,
        goal: '<= 1',
        met: again.rendered <= 1,
      },
      { metric: `one edit, all ask again, ${what}`, unit: 'us CPU', value: again.micros },
    ]
  } finally {
    close()
  }
}

const archivesOf = (registry: RegistryDatabase, secretKey: SecretKey): OverlayArchives =>
  overlayArchives({
    registry,
    assets: fsAssets([new URL('../boot-assets', import.meta.url).pathname]),
    cluster: 'bench',
    url: 'http://10.0.0.1:9873',
    now: () => new Date(),
    secretKey,
    headFile: async () => undefined,
    openImage: async () => accountsImage(),
    digest: (data) => `sha256:${hash('sha256', data)}`,
  })

/** Packs what so many nodes would boot with, or does something else for each; answers CPU microseconds of each, and how many nodes had something rendered. */
async function pass(
  archives: OverlayArchives,
  registry: RegistryDatabase,
  { first, count }: { first: number; count: number },
  ask: (node: StoredMember, snapshot: Snapshot) => Promise<unknown> = (node, snapshot) =>
    archives.bootArchive(node, 'system', snapshot),
) {
  const snapshot = await createSnapshots(registry)()
  const find = nodeByName(registry)
  const cpu = process.cpuUsage()
  const began = performance.now()
  let rendered = 0
  for (let at = first; at < first + count; at++) {
    const node = await find(nameOf(at))
    if (!node) throw new Error(`no node ${nameOf(at)}`)
    const before = archives.renders()
    await ask(node, snapshot)
    if (archives.renders() > before) rendered++
  }
  const { user, system } = process.cpuUsage(cpu)
  return { micros: (user + system) / count, seconds: (performance.now() - began) / 1000, rendered }
}

async function systemTree(archives: OverlayArchives, registry: RegistryDatabase, at: number) {
  const node = await nodeByName(registry)(nameOf(at))
  if (!node) throw new Error(`no node ${nameOf(at)}`)
  return archives.treeOf(node, 'system', await createSnapshots(registry)())
}

/** CPU seconds of `find | cpio | pigz` for the same files on disk: median of some runs. */
async function packedByTools(folder: string, files: readonly RenderedFile[]): Promise<number> {
  for (const file of files) {
    const path = join(folder, file.path)
    await mkdir(file.type === 'directory' ? path : dirname(path), { recursive: true })
    if (file.type === 'file') await writeFile(path, file.content)
    else if (file.type === 'link') await symlink(file.target, path)
  }
  // The shell counts in hundredths of a second, so it packs many times.
  const script = `i=0; while [ $i -lt ${packings} ]; do find . | cpio --quiet -o -H newc | pigz >/dev/null; i=$((i + 1)); done`
  const costs: number[] = []
  for (let round = 0; round < rounds; round++) {
    const { cpuSeconds } = await costOf('sh', ['-c', script], folder)
    costs.push(cpuSeconds / packings)
  }
  return median(costs)
}

/** What nodes notice: over HTTP, from a head node in a process of its own. */
async function overHttp(folder: string): Promise<Row[]> {
  const admin = await seedHead(folder, nodes)
  const served = await startHeadNode(folder)
  const bare = await startBareServer()
  try {
    // The first is the first that this head node is asked at all: both lists of each node are rendered for it.
    const drifts = [await drift(served, admin, nodes), await drift(served, admin, nodes)]
    const storms = []
    for (let round = 0; round < rounds; round++) {
      const files = { ...dozen, 'files/etc/motd.mustache': `Round ${round}: this is {{node.fqdn}}\n` }
      storms.push(await storm(served, admin, 1000, { files: Object.entries(files).map(sourceOf) }))
    }
    const edits = []
    for (let round = 0; round < rounds * 4; round++) edits.push(await editOne(served, admin, round))
    const last = median(storms.map(({ seconds }) => seconds))
    const lists = median(storms.map(({ listSeconds }) => listSeconds))
    const perNode = median(storms.map(({ cpuSeconds }) => (cpuSeconds * 1e6) / 1000))
    const edit = median(edits) * 1000
    const rows: Row[] = [
      { metric: 'drift of 10,000 nodes, cold', unit: 's CPU', value: drifts[0] ?? Number.NaN },
      { metric: 'drift of 10,000 nodes, again', unit: 's CPU', value: drifts[1] ?? Number.NaN },
      {
        metric: '1,000 nodes at once, changed overlay: last list',
        unit: 's',
        value: lists,
        goal: '<= 1',
        met: lists <= 1,
      },
      { metric: 'until the last has the changed file', unit: 's', value: last },
      { metric: 'CPU of the head node for each of them', unit: 'us CPU', value: perNode },
      { metric: 'edit of one node until its new list is there', unit: 'ms', value: edit, goal: '<= 5', met: edit <= 5 },
    ]
    for (const keepAlive of [false, true]) {
      const load = { nodes, perSecond: Math.ceil(nodes / 60), seconds: 20, keepAlive }
      const [share, peer] = [100 * (await poll(served, load)), 100 * (await poll(bare, load))]
      rows.push({
        metric: `10,000 clients each minute, ${keepAlive ? 'connections kept' : 'a connection each'}`,
        unit: '% of a core',
        value: share,
        peer,
        ratio: share / peer,
        goal: '<= 1',
        met: share <= 1,
      })
    }
    return rows
  } finally {
    await stop(served.child)
    await stop(bare.child)
  }
}

const sourceOf = ([path, text]: [string, string]) => ({ path, content: Buffer.from(text).toString('base64') })
