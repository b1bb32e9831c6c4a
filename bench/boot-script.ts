/**
 * Boot scripts: requests per CPU second of the whole service, with 100 to 100,000 nodes, nodes chosen at random, over
 * kept-alive connections; and the same for machines that nobody knows. What the service writes about attempts is in the
 * figures. Beside it nginx sends a file of 2 KB, the most that any server could do. About four minutes.
 *
 * A node that asks for the first time in a minute opens an attempt, which is written down; one that asks again does not.
 * Of 100 nodes nearly all ask again, of 100,000 nearly none, so that how cost grows with the registry alone is told by 100
 * nodes that ask out of 100,000.
 */
import { type ChildProcess, execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { addVersion } from '../src/registry/images.ts'
import { changeNodes } from '../src/registry/nodes.ts'
import { changeProfile } from '../src/registry/profiles.ts'
import { rootArchives } from '../src/registry/schema.ts'
import { openRegistry } from '../src/registry/sqlite.ts'
import { startHeadNode } from './head-node.ts'
import { startNginx } from './nginx.ts'
import { retry, stop } from './processes.ts'
import { cpuSecondsOf, describeMachine, median, type Row, report } from './report.ts'

const clusters = [100, 1_000, 10_000, 100_000]
const rounds = 5
const seconds = 3
const connections = 32

/** Something that is asked: its name, where, the process whose CPU counts, and the paths as a wrk script. */
type Target = { name: string; url: string; pid: number; script?: string }

/** Measures and reports. */
export async function run(): Promise<void> {
  const machine = describeMachine()
  const folder = await mkdtemp(join(tmpdir(), 'muster-bench-'))
  const children: ChildProcess[] = []
  try {
    const targets: Target[] = [await serveWithNginx(folder, children)]
    for (const nodes of clusters) targets.push(...(await startCluster(folder, children, nodes)))
    const perSecond = await measure(targets)
    report('boot-script', machine, rowsOf(perSecond))
  } finally {
    await Promise.all(children.map(stop))
    await rm(folder, { recursive: true })
  }
}

/** Median requests per CPU second of each target; all are asked in turns. */
async function measure(targets: readonly Target[]): Promise<Map<string, number>> {
  const samples = new Map<string, number[]>(targets.map(({ name }) => [name, []]))
  for (let round = -1; round < rounds; round++) {
    for (const target of targets) {
      const before = cpuSecondsOf(target.pid)
      const requests = await wrk(target, round < 0 ? 8 : seconds)
      // What is still to be written of these requests is part of their cost.
      await new Promise((resolve) => setTimeout(resolve, 500))
      const rate = requests / (cpuSecondsOf(target.pid) - before)
      // The first round only warms up.
      if (round >= 0) samples.get(target.name)?.push(rate)
      console.log(`${target.name}: ${Math.round(rate).toLocaleString('en')} requests per CPU second`)
    }
  }
  return new Map([...samples].map(([name, rates]) => [name, median(rates)]))
}

function rowsOf(perSecond: ReadonlyMap<string, number>): Row[] {
  const rate = (name: string) => perSecond.get(name) ?? Number.NaN
  const nginx = rate('nginx')
  const scripts = clusters.map((nodes): Row => {
    const value = rate(scriptsOf(nodes))
    const row = { metric: scriptsOf(nodes), unit: 'req/CPU s', value, peer: nginx, ratio: value / nginx }
    return nodes === 10_000 ? { ...row, goal: '>= 40,000', met: value >= 40_000 } : row
  })
  const [least = 0, most = 0] = [clusters.at(0), clusters.at(-1)]
  const growth = rate(scriptsOf(least)) / rate(someOf(most))
  const unknown = 1e6 / rate(strangersOf(10_000))
  return [
    ...scripts,
    {
      metric: someOf(most),
      unit: 'req/CPU s',
      value: rate(someOf(most)),
      peer: nginx,
      ratio: rate(someOf(most)) / nginx,
    },
    {
      metric: `cost of 100 nodes out of ${most.toLocaleString('en')} to cost out of ${least}`,
      unit: '',
      value: growth,
      goal: '<= 1.2',
      met: growth <= 1.2,
    },
    {
      metric: 'machine that nobody knows',
      unit: 'us CPU',
      value: unknown,
      peer: 1e6 / nginx,
      ratio: (unknown * nginx) / 1e6,
      goal: '<= 100',
      met: unknown <= 100,
    },
  ]
}

const scriptsOf = (nodes: number): string => `scripts, ${nodes.toLocaleString('en')} nodes`
const someOf = (nodes: number): string => `scripts, 100 out of ${nodes.toLocaleString('en')} nodes`
const strangersOf = (nodes: number): string => `unknown machines, ${nodes.toLocaleString('en')} nodes`

/** A head node with so many nodes of one profile, in a process of its own. */
async function startCluster(folder: string, children: ChildProcess[], nodes: number): Promise<Target[]> {
  const data = await mkdtemp(join(folder, 'data-'))
  await seed(join(data, 'registry.db'), nodes)
  const { child, pid, url } = await startHeadNode(data)
  children.push(child)
  await retry(async () => {
    const script = await (await fetch(`${url}/boot/${macOf(nodes - 1)}?arch=x86_64`)).text()
    if (!script.includes('initrd --')) throw new Error(`no script but ${script}`)
  })
  const target = async (name: string, prefix: string, every = 1) => ({
    name,
    url,
    pid,
    script: await wrkScript(folder, nodes, prefix, every),
  })
  return [
    await target(scriptsOf(nodes), '52:54'),
    ...(nodes === 10_000 ? [await target(strangersOf(nodes), '02:00')] : []),
    ...(nodes === clusters.at(-1) ? [await target(someOf(nodes), '52:54', nodes / 100)] : []),
  ]
}

const editor = { author: 'bench', at: new Date() }

async function seed(file: string, nodes: number): Promise<void> {
  const { database, close } = openRegistry(file)
  const blob = (digit: string, size: number) => ({ digest: `sha256:${digit.repeat(64)}` as const, size })
  const image = blob('4', 0).digest
  await addVersion(database, editor, {
    image: 'rocky9',
    source: 'bench',
    current: true,
    digest: image,
    provenance: {},
    summary: {
      schema: 1,
      architecture: 'x86_64',
      kernels: [{ ...blob('1', 14e6), version: '5.14.0-570.el9.x86_64', path: '/boot/vmlinuz-5.14.0-570.el9.x86_64' }],
      compression: 'zstd',
      segments: 1200,
      size: 7e8,
      index: { ...blob('3', 9e5), unpackedSize: 6e6 },
      entries: 40_000,
      unpackedSize: 2e9,
      warnings: [],
    },
  })
  const root = { ...blob('2', 7e8), unpackedSize: 2e9, warnings: [] }
  await database.batch([database.insert(rootArchives).values({ image, root })])
  await changeProfile(database, editor, 'default', () => ({
    profiles: [],
    settings: { image: 'rocky9', kernel: { args: ['console=tty0', 'console=ttyS0,115200', 'quiet'] } },
  }))
  const names = Array.from({ length: nodes }, (_, at) => `n${at}`)
  await changeNodes(
    database,
    editor,
    async () => names,
    (name) => ({
      profiles: ['default'],
      settings: {
        netdevs: { default: { mac: macOf(Number(name.slice(1))), address: addressOf(Number(name.slice(1))) } },
      },
    }),
  )
  close()
}

const macOf = (at: number): string => `52:54:${octets(at).map(hexOf).join(':')}`
const addressOf = (at: number): string => `10.${octets(at).slice(1).join('.')}/8`
const octets = (at: number): number[] => [24, 16, 8, 0].map((bits) => (at >>> bits) & 255)
const hexOf = (octet: number): string => octet.toString(16).padStart(2, '0')

/** A script by which wrk asks as iPXE does, for a random one of so many MACs, or of every so-manieth of them. */
async function wrkScript(folder: string, nodes: number, prefix: string, every: number): Promise<string> {
  const file = join(folder, `${prefix.replace(':', '')}-${nodes}-${every}.lua`)
  const query =
    'uuid=4c4c4544-0043-3510-8052-b4c04f4e4d31&serial=ABC1234&asset=&arch=x86_64&platform=efi&manufacturer=Dell&product=R740'
  await writeFile(
    file,
    `math.randomseed(os.time())
     request = function()
       local at = math.random(0, ${nodes / every - 1}) * ${every}
       local mac = string.format("%%3A%02x%%3A%02x%%3A%02x%%3A%02x",
         math.floor(at / 16777216), math.floor(at / 65536) % 256, math.floor(at / 256) % 256, at % 256)
       return wrk.format("GET", "/boot/${prefix.replace(':', '%3A')}" .. mac .. "?${query}")
     end`,
  )
  return file
}

async function wrk({ url, script }: Target, duration: number): Promise<number> {
  const args = ['-t1', `-c${connections}`, '--timeout', '30s', `-d${duration}s`, ...(script ? ['-s', script] : []), url]
  const { stdout } = await promisify(execFile)('wrk', args)
  const requests = Number(/(\d+) requests in/.exec(stdout)?.[1])
  if (!requests || /Socket errors|Non-2xx/.test(stdout)) throw new Error(`wrk failed: ${stdout}`)
  return requests
}

/** nginx and a file of 2 KB. */
async function serveWithNginx(folder: string, children: ChildProcess[]): Promise<Target> {
  await writeFile(join(folder, 'script'), `#!ipxe\n${'x'.repeat(2041)}`)
  const { child, pid, port } = await startNginx(folder, `root ${folder};`)
  children.push(child)
  return { name: 'nginx', url: `http://127.0.0.1:${port}/script`, pid }
}
