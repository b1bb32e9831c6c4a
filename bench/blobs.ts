/**
 * Blob downloads beside nginx with sendfile, on the same files and in turns: throughput, and CPU seconds of the server
 * per GB, which is what predicts a real network card (on loopback the clients eat the machine). About two minutes.
 */
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'
import { type Digest, hexOf } from '../src/blobs/digest.ts'
import { fsBlobStore } from '../src/blobs/fs.ts'
import { startNginx } from './nginx.ts'
import { stop } from './processes.ts'
import { compare, cpuSecondsOf, describeMachine, median, type Row, report } from './report.ts'

const MiB = 1024 * 1024
const rounds = 5
const seconds = 3

/** A server that is running: where, the process whose CPU counts, and its end. */
type Server = { url: (digest: Digest) => string; pid: number; stop: () => Promise<void> }

/** One load: bytes that arrived, seconds that it took. */
type Load = (url: string) => Promise<{ bytes: number; seconds: number }>

/** Measures and reports. */
export async function run(): Promise<void> {
  const machine = describeMachine()
  const folder = await mkdtemp(join(tmpdir(), 'muster-bench-'))
  const servers: Server[] = []
  try {
    const store = fsBlobStore(folder)
    const hot = (await store.add(pseudoRandom(128))).digest
    const large = (await store.add(pseudoRandom(512))).digest
    const [muster, nginx] = [await startMuster(folder), await serveWithNginx(folder)]
    servers.push(muster, nginx)
    report('blobs', machine, [
      ...(await measure('hot 128 MiB, wrk with 8 connections', muster, nginx, hot, wrk, 1.3)),
      ...(await measure('hot 128 MiB, 4 curls', muster, nginx, hot, curls(4, 8), 1.3)),
      ...(await measure('512 MiB, 4 curls', muster, nginx, large, curls(4, 1))),
      ...(await measure('512 MiB, 1 curl', muster, nginx, large, curls(1, 2))),
    ])
  } finally {
    await Promise.all(servers.map((server) => server.stop()))
    await rm(folder, { recursive: true })
  }
}

/** Loads both servers in turns and compares the medians. */
async function measure(
  name: string,
  muster: Server,
  nginx: Server,
  digest: Digest,
  load: Load,
  cpuLimit?: number,
): Promise<Row[]> {
  const taken = {
    muster: { rate: [] as number[], cpu: [] as number[] },
    nginx: { rate: [] as number[], cpu: [] as number[] },
  }
  await load(muster.url(digest))
  await load(nginx.url(digest))
  for (let round = 0; round < rounds; round++) {
    for (const [server, samples] of [
      [muster, taken.muster],
      [nginx, taken.nginx],
    ] as const) {
      const before = cpuSecondsOf(server.pid)
      const { bytes, seconds } = await load(server.url(digest))
      samples.rate.push(bytes / 1e9 / seconds)
      samples.cpu.push((cpuSecondsOf(server.pid) - before) / (bytes / 1e9))
    }
    console.log(`${name}, ${round + 1} of ${rounds}`, samplesOf(taken.muster), 'nginx', samplesOf(taken.nginx))
  }
  const throughput = { atLeast: 0.95, of: 'nginx' }
  const cpu = cpuLimit === undefined ? undefined : { atMost: cpuLimit, of: 'nginx' }
  return [
    compare(`${name}: throughput`, 'GB/s', median(taken.muster.rate), median(taken.nginx.rate), throughput),
    compare(`${name}: CPU per GB`, 's/GB', median(taken.muster.cpu), median(taken.nginx.cpu), cpu),
  ]
}

const samplesOf = ({ rate, cpu }: { rate: number[]; cpu: number[] }): string =>
  `${rate.at(-1)?.toFixed(2)} GB/s ${cpu.at(-1)?.toFixed(3)} s/GB`

/** `count` curls at once, each fetching the URL `times` times over one connection. */
function curls(count: number, times: number): Load {
  const get = promisify(execFile)
  return async (url) => {
    const began = performance.now()
    const args = [
      '-sf',
      '-w',
      '%{size_download}\n',
      ...Array.from({ length: times }, () => ['-o', '/dev/null', url]).flat(),
    ]
    const outputs = await Promise.all(Array.from({ length: count }, () => get('curl', args)))
    const sizes = outputs.flatMap(({ stdout }) => stdout.trim().split('\n').map(Number))
    return { bytes: sizes.reduce((sum, size) => sum + size, 0), seconds: (performance.now() - began) / 1000 }
  }
}

async function wrk(url: string): Promise<{ bytes: number; seconds: number }> {
  const { stdout } = await promisify(execFile)('wrk', ['-t1', '-c8', '--timeout', '30s', `-d${seconds}s`, url])
  const [, took, size, unit] = /requests in ([\d.]+)s, ([\d.]+)([KMGT]?)B read/.exec(stdout) ?? []
  if (!took || !size || /Socket errors|Non-2xx/.test(stdout)) throw new Error(`wrk failed: ${stdout}`)
  const scale = { '': 1, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30, T: 2 ** 40 }[unit ?? ''] ?? Number.NaN
  return { bytes: Number(size) * scale, seconds: Number(took) }
}

async function startMuster(root: string): Promise<Server> {
  const child = spawn(process.execPath, [new URL('blob-server.ts', import.meta.url).pathname, root], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const [port] = await once(createInterface(child.stdout), 'line')
  const url = (digest: Digest) => `http://127.0.0.1:${port}/blobs/sha256/${hexOf(digest)}`
  return { url, pid: child.pid ?? 0, stop: () => stop(child) }
}

/** nginx on the same tree, as the header of `src/blobs/fs.ts` says. */
async function serveWithNginx(root: string): Promise<Server> {
  const { child, pid, port } = await startNginx(
    root,
    `location ~ "^/blobs/sha256/(..)(.*)$" { alias ${root}/sha256/$1/$1$2; }`,
  )
  return { url: (digest) => `http://127.0.0.1:${port}/blobs/sha256/${hexOf(digest)}`, pid, stop: () => stop(child) }
}

/** So many MiB that do not compress, made from one random MiB. */
function pseudoRandom(mebibytes: number): ReadableStream<Uint8Array<ArrayBuffer>> {
  const block = new Uint8Array(MiB)
  for (let at = 0; at < MiB; at += 65_536) crypto.getRandomValues(block.subarray(at, at + 65_536))
  let made = 0
  return new ReadableStream({
    pull(controller) {
      new DataView(block.buffer).setUint32(0, made)
      controller.enqueue(new Uint8Array(block))
      made += 1
      if (made === mebibytes) controller.close()
    },
  })
}
