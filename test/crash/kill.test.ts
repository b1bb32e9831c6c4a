/**
 * Acknowledged is kept, and what is served is whole: the service is killed (SIGKILL) fifty times while clients edit
 * nodes, import images and read every blob that they can find.
 */
import { execFile } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { copyFile, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import Database from 'better-sqlite3'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { freePort, type HeadProcess, startHeadProcess } from './head-process.ts'

const kills = 50
const nodeCount = 5
const run = promisify(execFile)

let folder: string
let data: string
let tars: Buffer[]

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'muster-crash-'))
  data = join(folder, 'data')
  tars = await Promise.all([0, 1, 2, 3].map((index) => smallImage(join(folder, `root${index}`))))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

test(`keeps every acknowledged edit and image over ${kills} kills, and never serves a torn blob`, {
  timeout: 300_000,
}, async () => {
  const port = await freePort()
  const acknowledged = {
    tags: [] as { node: string; key: string }[],
    images: [] as { image: string; blobs: Digests }[],
  }
  const reads = { whole: 0, torn: [] as string[] }
  let serial = 0

  let head = await startHeadProcess(data, port)
  for (let node = 0; node < nodeCount; node++) {
    expect((await api(head, 'PUT', `/api/nodes/n${node}`, { profiles: [], settings: {} })).status).toBe(201)
  }

  for (let round = 0; round < kills; round++) {
    let over = false
    const editors = Array.from({ length: 6 }, async () => {
      while (!over) {
        const edit = { node: `n${serial % nodeCount}`, key: `t${serial++}` }
        const answer = await api(head, 'PATCH', `/api/nodes/${edit.node}`, {
          settings: { tags: { [edit.key]: 'x' } },
        }).catch(() => undefined)
        if (answer?.status === 200) acknowledged.tags.push(edit)
      }
    })
    const importer = (async () => {
      for (let turn = round; !over; turn++) {
        const image = `image${turn % 3}`
        const made = await upload(head, image, tars[turn % tars.length]!).catch(() => undefined)
        if (made) acknowledged.images.push({ image, blobs: made })
      }
    })()
    const hunter = (async () => {
      while (!over) {
        for (const hex of await blobsOnDisk(data)) await readBlob(head, hex, reads).catch(() => undefined)
        await pause(5)
      }
    })()
    // On a slow machine a round must still have something to lose; every fifth one waits for an image, too.
    const imagesBefore = acknowledged.images.length
    const tagsBefore = acknowledged.tags.length
    await until(() => acknowledged.tags.length > tagsBefore)
    if (round % 5 === 0) await until(() => acknowledged.images.length > imagesBefore)
    await pause(Math.random() * 160)
    await head.kill()
    over = true
    await Promise.all([...editors, importer, hunter])
    expectSound(join(data, 'registry.db'))
    head = await startHeadProcess(data, port)
    await expectKept(head, acknowledged)
  }

  for (const hex of await blobsOnDisk(data)) await readBlob(head, hex, reads)
  await head.kill()
  expect(reads.torn).toEqual([])
  expect(reads.whole).toBeGreaterThan(kills)
  expect(acknowledged.tags.length).toBeGreaterThan(kills)
  expect(acknowledged.images.length).toBeGreaterThan(0)
})

type Digests = string[]

async function expectKept(
  head: HeadProcess,
  acknowledged: { tags: { node: string; key: string }[]; images: { image: string; blobs: Digests }[] },
) {
  for (let node = 0; node < nodeCount; node++) {
    const stored = (await (await api(head, 'GET', `/api/nodes/n${node}`)).json()) as {
      settings: { tags?: Record<string, string> }
    }
    const missing = acknowledged.tags.filter(
      (edit) => edit.node === `n${node}` && stored.settings.tags?.[edit.key] === undefined,
    )
    expect(missing, 'acknowledged edits that are gone').toEqual([])
  }
  const latest = acknowledged.images.at(-1)
  for (const digest of latest?.blobs ?? []) {
    const answer = await fetch(`${head.url}/blobs/sha256/${digest.slice('sha256:'.length)}`)
    expect(sha256(await answer.arrayBuffer()), 'a blob of an acknowledged image').toBe(digest.slice('sha256:'.length))
  }
}

async function readBlob(head: HeadProcess, hex: string, reads: { whole: number; torn: string[] }) {
  const answer = await fetch(`${head.url}/blobs/sha256/${hex}`)
  if (answer.status === 404) return
  // A body that is cut off makes arrayBuffer() throw: the reader knows. What it must never be is short and look whole.
  const body = await answer.arrayBuffer()
  if (answer.status === 200 && sha256(body) === hex) reads.whole++
  else reads.torn.push(`${hex}: ${answer.status}, ${body.byteLength} bytes`)
}

async function blobsOnDisk(data: string): Promise<string[]> {
  const names = await readdir(join(data, 'blobs', 'sha256'), { recursive: true }).catch(() => [])
  return names.map((name) => name.split('/').at(-1) ?? '').filter((name) => /^[0-9a-f]{64}$/.test(name))
}

async function upload(head: HeadProcess, image: string, tar: Buffer): Promise<Digests | undefined> {
  const answer = await fetch(`${head.url}/api/images/${image}/versions?source=test`, {
    method: 'POST',
    headers: { authorization: `Bearer ${head.token}`, 'content-type': 'application/x-tar' },
    body: new Uint8Array(tar),
  })
  if (!answer.ok) return undefined
  const { digest } = (await answer.json()) as { digest: string }
  const manifest = (await (await fetch(`${head.url}/blobs/sha256/${digest.slice('sha256:'.length)}`)).json()) as {
    [part in 'segments' | 'kernels']: { digest: string }[]
  } & { index: { digest: string } }
  const blobs = [manifest.index, ...manifest.segments, ...manifest.kernels]
  return [digest, ...blobs.map((blob) => blob.digest)]
}

const api = (head: HeadProcess, method: string, path: string, body?: unknown) =>
  fetch(`${head.url}${path}`, {
    method,
    headers: {
      authorization: `Bearer ${head.token}`,
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })

function expectSound(file: string) {
  const database = new Database(file)
  expect(database.pragma('integrity_check', { simple: true })).toBe('ok')
  expect(database.pragma('foreign_key_check')).toEqual([])
  database.close()
}

/** A root tree that imports: a kernel, a shell, and a megabyte of noise so that storing it takes a while. */
async function smallImage(root: string): Promise<Buffer> {
  await mkdir(join(root, 'boot'), { recursive: true })
  await mkdir(join(root, 'bin'))
  await copyFile('/bin/true', join(root, 'bin/sh'))
  await writeFile(join(root, 'boot/vmlinuz-6.1.0'), randomBytes(200_000))
  await writeFile(join(root, 'noise'), randomBytes(1_000_000))
  await run('tar', ['--create', '--file', `${root}.tar`, '--directory', root, '.'])
  const { stdout } = await run('cat', [`${root}.tar`], { encoding: 'buffer', maxBuffer: 10_000_000 })
  return stdout
}

const sha256 = (bytes: ArrayBuffer) => createHash('sha256').update(new Uint8Array(bytes)).digest('hex')

/** Waits until it holds; what it waits for always comes, so the bound only keeps a broken service from hanging the test. */
async function until(holds: () => boolean): Promise<void> {
  for (let turn = 0; !holds() && turn < 2000; turn++) await pause(5)
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))
