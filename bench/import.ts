/**
 * Importing an image of 1.2 GB in two gzip layers, beside what Warewulf does with the same OCI layout: skopeo, umoci, cpio and
 * pigz, in turns. `npm run bench import [rounds]`; a round takes some two minutes.
 */
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Cost, run as command, costOf } from './command.ts'
import { expected, type ImportCost, importInProcess } from './import-cost.ts'
import { writeLayout } from './oci-layout.ts'
import { compare, describeMachine, median, type Row, report } from './report.ts'
import { chooseFiles, type LayerFile, makeBasics, writeLayer } from './rootfs.ts'

const size = 1.2e9

/** Measures and reports. */
export async function run(): Promise<void> {
  const rounds = Number(process.argv[3] ?? 2)
  const machine = describeMachine()
  const folder = await mkdtemp(join(tmpdir(), 'muster-bench-'))
  try {
    const layers = await makeLayers(folder)
    const layout = await writeLayout(join(folder, 'layout'), layers)
    const unpacked = layers.reduce((sum, layer) => sum + layer.unpackedSize, 0)
    const ours: OurCost[] = []
    const peers: PeerCost[] = []
    for (let round = 1; round <= rounds; round++) {
      ours.push(await importLayers(join(folder, 'data'), layers))
      peers.push(await importAsPeer(join(folder, 'peer'), layout))
      console.log(`round ${round} of ${rounds}`, tell(ours.at(-1)), 'peer', tell(peers.at(-1)))
    }
    report('import', machine, rowsOf(unpacked, ours, peers))
  } finally {
    await rm(folder, { recursive: true })
  }
}

const tell = (cost?: Cost): string => `${cost?.seconds.toFixed(1)} s, ${cost?.cpuSeconds.toFixed(1)} CPU-s`

function rowsOf(unpacked: number, ours: OurCost[], peers: PeerCost[]): Row[] {
  const middle = <T>(costs: readonly T[], of: (cost: T) => number) => median(costs.map(of))
  const rate = (cost: Cost) => unpacked / 1e6 / cost.cpuSeconds
  const limit = (metric: string, unit: string, value: number, most: number, peer?: number): Row => ({
    ...(peer === undefined ? { metric, unit, value } : compare(metric, unit, value, peer, undefined)),
    goal: `<= ${most} ${unit}`,
    met: value <= most,
  })
  const speed = compare('import: uncompressed bytes', 'MB/CPU-s', middle(ours, rate), middle(peers, rate), undefined)
  return [
    { ...speed, goal: '>= 60 MB/CPU-s', met: speed.value >= 60 },
    compare(
      'import: time',
      's',
      middle(ours, (cost) => cost.seconds),
      middle(peers, (cost) => cost.seconds),
      undefined,
    ),
    limit('import: most memory', 'MiB', Math.max(...ours.map((cost) => cost.resident)) / 2 ** 20, 256),
    limit('import: longest turn of the event loop', 'ms', Math.max(...ours.map((cost) => cost.stalled)), 20),
    compare(
      'import: bytes written',
      'MB',
      middle(ours, (cost) => cost.written) / 1e6,
      middle(peers, (cost) => cost.written) / 1e6,
      undefined,
    ),
    limit(
      'import: files on the disk besides blobs',
      'files',
      middle(ours, (cost) => cost.files),
      0,
      middle(peers, (cost) => cost.files),
    ),
  ]
}

type PeerCost = Cost & { written: number; files: number }
type OurCost = ImportCost & { files: number }

/** A head node's import, in a process of its own. */
async function importLayers(data: string, layers: readonly LayerFile[]): Promise<OurCost> {
  await mkdir(data)
  const cost = await importInProcess(data, { layers: layers.map(expected), whiteouts: 'oci' }, layers)
  const files = (await readdir(data, { recursive: true, withFileTypes: true })).filter(
    (entry) => entry.isFile() && !/^[0-9a-f]{64}$|^registry\.db/.test(entry.name),
  )
  await rm(data, { recursive: true })
  return { ...cost, files: files.length }
}

/** What Warewulf runs for an import: a copy of the source, the tree, its cpio, and that compressed. */
async function importAsPeer(folder: string, layout: string): Promise<PeerCost> {
  await mkdir(folder)
  const [copy, bundle, cpio] = [join(folder, 'copy'), join(folder, 'bundle'), join(folder, 'root.cpio')]
  const steps: [string, string[]][] = [
    ['skopeo', ['copy', `oci:${layout}:bench`, `oci:${copy}:bench`]],
    ['umoci', ['unpack', '--image', `${copy}:bench`, bundle]],
    // Nothing but this file's own names is in the script.
    ['sh', ['-c', 'cd "$1/rootfs" && find . | cpio --quiet -o -H newc -F "$2"', 'sh', bundle, cpio]],
    ['pigz', ['--keep', cpio]],
  ]
  const cost = { seconds: 0, cpuSeconds: 0 }
  for (const [program, args] of steps) {
    const step = await costOf(program, args)
    cost.seconds += step.seconds
    cost.cpuSeconds += step.cpuSeconds
  }
  const written = Number((await command('du', ['-sb', folder])).split('\t')[0])
  const files = (await command('find', [folder, '-type', 'f'])).split('\n').length - 1
  await rm(folder, { recursive: true })
  return { ...cost, written, files }
}

/** The root in two layers: a large one, and a small one above it. */
async function makeLayers(folder: string): Promise<LayerFile[]> {
  const files = await chooseFiles(size)
  const basics = await makeBasics(join(folder, 'basics'))
  const paths = files.map(({ path }) => path)
  const most = Math.floor(paths.length * 0.8)
  return [
    await writeLayer(join(folder, 'lower.tar.gz'), [
      { folder: '/', paths: paths.slice(0, most) },
      { folder: join(folder, 'basics'), paths: basics },
    ]),
    await writeLayer(join(folder, 'upper.tar.gz'), [{ folder: '/', paths: paths.slice(most) }]),
  ]
}
