/**
 * An image of 1.2 GB of which some 5 MB change: programs that were built anew, and a few files that come and go. Once as one more
 * layer, once as a root that was built again. What is new in the blob store, beside the whole image again, as the peer has it.
 * `npm run bench delta`.
 */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { expected, type ImportCost, importInProcess } from './import-cost.ts'
import { compare, describeMachine, type Row, report } from './report.ts'
import { chooseFiles, type LayerFile, makeBasics, perturb, type RootFile, writeLayer } from './rootfs.ts'

const size = 1.2e9
/** Bytes of programs that change, about. */
const changing = 5e6

/** Measures and reports. */
export async function run(): Promise<void> {
  const machine = describeMachine()
  const folder = await mkdtemp(join(tmpdir(), 'muster-bench-'))
  try {
    const data = join(folder, 'data')
    await mkdir(data)
    const { root, change, rebuilt, changed } = await makeLayers(folder)
    console.log(`changed ${(changed / 1e6).toFixed(1)} MB of programs`)
    const first = await importVersion(data, [root])
    const layered = await importVersion(data, [root, change], first)
    const again = await importVersion(data, [rebuilt], first)
    const same = await importVersion(data, [root, change], layered)
    report('delta', machine, [
      ...rowsOf('as a layer', layered, rebuilt),
      ...rowsOf('as a root built again', again, rebuilt),
      within('nothing changed: layers that are sent', 'layers', same.sent.length, 0),
      within('nothing changed: new segments', 'segments', same.fresh.segments, 0),
      within('as a layer: layers that are sent', 'layers', layered.sent.length, 1),
    ])
  } finally {
    await rm(folder, { recursive: true })
  }
}

type Version = ImportCost & {
  /** Segments that the version before does not have, and their bytes; with the manifest and the index, what a mirror fetches. */
  fresh: { segments: number; bytes: number; mirrored: number }
}

/** The peer's image is one archive: it is new as a whole, which is about as much as the gzipped layers. */
function rowsOf(name: string, version: Version, whole: LayerFile): Row[] {
  const { fresh, seconds, cpuSeconds } = version
  return [
    {
      ...compare(`${name}: new bytes for a node`, 'MB', fresh.bytes / 1e6, whole.size / 1e6, undefined),
      ...goal(fresh.bytes / 1e6, 4, 'MB'),
    },
    compare(`${name}: new bytes for a mirror`, 'MB', fresh.mirrored / 1e6, whole.size / 1e6, undefined),
    { metric: `${name}: new segments`, unit: 'segments', value: fresh.segments },
    { metric: `${name}: import`, unit: 's', value: seconds },
    { metric: `${name}: import`, unit: 'CPU-s', value: cpuSeconds },
  ]
}

const goal = (value: number, most: number, unit: string) => ({ goal: `<= ${most} ${unit}`, met: value <= most })
const within = (metric: string, unit: string, value: number, most: number): Row => ({
  metric,
  unit,
  value,
  ...goal(value, most, unit),
})

/** Imports a version and tells what one before did not have. */
async function importVersion(data: string, layers: readonly LayerFile[], before?: Version): Promise<Version> {
  const request = { layers: layers.map(expected), whiteouts: 'oci' as const }
  const cost = await importInProcess(data, { ...request, ...(before && { relatives: [before.digest] }) }, layers)
  const known = new Set(before?.manifest.segments.map(({ digest }) => digest))
  const segments = cost.manifest.segments.filter(({ digest }) => !known.has(digest))
  const bytes = segments.reduce((sum, segment) => sum + segment.size, 0)
  const mirrored = bytes + cost.manifest.index.size + JSON.stringify(cost.manifest).length
  return { ...cost, fresh: { segments: segments.length, bytes, mirrored } }
}

/** The root, a layer that changes it, and the root built again with the same changes. */
async function makeLayers(
  folder: string,
): Promise<{ root: LayerFile; change: LayerFile; rebuilt: LayerFile; changed: number }> {
  const files = await chooseFiles(size)
  const basics = await makeBasics(join(folder, 'basics'))
  const fresh = join(folder, 'fresh')
  const programs = programsOf(files)
  let changed = 0
  for (const { path } of programs) {
    await mkdir(dirname(join(fresh, path)), { recursive: true })
    changed += await perturb(join('/', path), join(fresh, path))
  }
  const added = ['usr/bin/added', 'usr/share/added']
  await mkdir(join(fresh, 'usr/share'), { recursive: true })
  for (const path of added) await writeFile(join(fresh, path), `${path}\n`.repeat(500))
  const removed = files.filter(({ path, size }) => path.startsWith('usr/share/') && size > 0).slice(100, 104)
  const whiteouts = removed.map(({ path }) => join(dirname(path), `.wh.${path.slice(path.lastIndexOf('/') + 1)}`))
  const hiding = join(folder, 'hiding')
  for (const path of whiteouts) {
    await mkdir(dirname(join(hiding, path)), { recursive: true })
    await writeFile(join(hiding, path), '')
  }
  const news = [...programs.map(({ path }) => path), ...added]
  const gone = new Set([...news, ...removed.map(({ path }) => path)])
  const old = files.map(({ path }) => path)
  const own = { folder: join(folder, 'basics'), paths: basics }
  return {
    changed,
    root: await writeLayer(join(folder, 'root.tar.gz'), [{ folder: '/', paths: old }, own]),
    change: await writeLayer(join(folder, 'change.tar.gz'), [
      { folder: hiding, paths: whiteouts },
      { folder: fresh, paths: news },
    ]),
    rebuilt: await writeLayer(join(folder, 'rebuilt.tar.gz'), [
      { folder: '/', paths: old.filter((path) => !gone.has(path)) },
      { folder: fresh, paths: news },
      own,
    ]),
  }
}

/** Programs and libraries, of the size of most, that make up what changes. */
function programsOf(files: readonly RootFile[]): RootFile[] {
  const programs: RootFile[] = []
  let sum = 0
  for (const file of files.filter(({ path, size }) => /^usr\/(bin|lib)\//.test(path) && size > 4e5 && size < 2e6)) {
    if (sum >= changing) break
    programs.push(file)
    sum += file.size
  }
  return programs
}
