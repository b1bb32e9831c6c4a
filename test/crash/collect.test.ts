/**
 * Nothing that is needed is collected, and everything else is in the end: clients import, copy, delete, prepare and boot
 * images at random and collect garbage all the while, with a second of grace, and the service is killed (SIGKILL) again and
 * again.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Digest, hexOf } from '../../src/blobs/digest.ts'
import { type FsBlobStore, fsBlobStore } from '../../src/blobs/fs.ts'
import { readManifest } from '../../src/images/read-manifest.ts'
import { partsOf } from '../../src/images/references.ts'
import { all, digestOfBytes } from '../blobs/bytes.ts'
import { basics, noise, tarOf } from '../images/small-image.ts'
import { freePort, type HeadProcess, startHeadProcess } from './head-process.ts'

const kills = 22
const grace = 1
const hastyHead = [process.execPath, new URL('hasty-head.ts', import.meta.url).pathname]
const images = ['rocky9', 'debian12', 'suse15'] as const
const mac = (node: number) => `52:54:00:00:00:0${node}`

let folder: string
let data: string
let blobs: FsBlobStore
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'muster-collect-'))
  data = join(folder, 'data')
  blobs = fsBlobStore(join(data, 'blobs'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

test(`loses no blob that is needed over ${kills} kills, and leaves no other`, { timeout: 300_000 }, async () => {
  const port = await freePort()
  const faults: string[] = []

  for (let round = 0; round < kills; round++) {
    const head = await startHeadProcess(data, port, hastyHead)
    // What a crash left aside is back by now, and nobody collects yet.
    faults.push(...(await lost()))
    let over = false
    const again = (work: (head: HeadProcess) => Promise<unknown>) =>
      (async () => {
        while (!over) await work(head).catch(() => undefined)
      })()
    const { imported, collected } = done
    const clients = [
      again(bring),
      again(bring),
      again(rearrange),
      again((head) => boot(head, round % 3)),
      again((head) => hunt(head, faults)),
      again(collect),
    ]
    // On a slow machine a round must still have something to lose; every fourth one waits for a collection, too.
    await until(() => done.imported > imported && (round % 4 !== 0 || done.collected > collected))
    await pause(Math.random() * 500)
    await head.kill()
    over = true
    await Promise.all(clients)
    expect(faults).toEqual([])
  }

  const head = await startHeadProcess(data, port, hastyHead)
  await pause(grace * 1000 + 100)
  const last = await api(head, 'POST', '/api/blobs/collect', { grace })
  expect(await last.json()).toMatchObject({ young: 0 })
  expect(await lost()).toEqual([])
  const { needed } = await references()
  expect((await all(blobs.list())).map(({ digest }) => digest)).toEqual([...needed].sort())
  await head.kill()
  for (const count of Object.values(done)) expect(count, JSON.stringify(done)).toBeGreaterThanOrEqual(kills / 4)
})

const done = { imported: 0, collected: 0, deleted: 0, booted: 0, read: 0 }
let serial = 0

async function collect(head: HeadProcess): Promise<void> {
  const answer = await api(head, 'POST', '/api/blobs/collect', { grace })
  const { deleted } = await answer.json()
  done.collected += 1
  done.deleted += deleted
  await pause(20)
}

/** Imports a tree that has something in common with some others, and something of its own. */
async function bring(head: HeadProcess): Promise<void> {
  const turn = serial++
  const shared = { name: 'opt/shared', data: noise(400_000, 1 + (turn % 3)) }
  const own = { name: 'srv/own', data: noise(turn % 4 === 0 ? 10 : 300_000, 100 + (turn % 7)) }
  const body = new Uint8Array(tarOf([...basics, shared, own, { name: 'etc/turn', data: noise(8, turn % 50) }]))
  const answer = await fetch(`${head.url}/api/images/${pick(images)}/versions?source=test`, {
    method: 'POST',
    headers: { authorization: `Bearer ${head.token}`, 'content-type': 'application/x-tar' },
    body,
  })
  await answer.arrayBuffer()
  if (answer.ok) done.imported += 1
}

/** Deletes, copies, prepares, or chooses another version. */
async function rearrange(head: HeadProcess): Promise<void> {
  const image = pick(images)
  const versions = (await (await api(head, 'GET', `/api/images/${image}/versions`)).json()) as { number: number }[]
  const { number } = pick(versions)
  const version = `/api/images/${image}/versions/${number}`
  await pick([
    () => api(head, 'DELETE', version),
    () => api(head, 'DELETE', version),
    () => api(head, 'POST', `/api/images/${image}/prune`, { keep: 1 }),
    () => api(head, 'PATCH', `/api/images/${image}`, { current: number }),
    () => api(head, 'POST', `${version}/prepare`),
    () => api(head, 'POST', `/api/images/${image}/copy`, { to: `copy-of-${image}` }),
    () => api(head, 'DELETE', `/api/images/copy-of-${image}`),
    () => api(head, 'DELETE', `/api/images/${image}`),
  ])().then((answer) => answer.arrayBuffer())
}

/** Boots a node, which may then give its image up: what it was told to fetch stays. */
async function boot(head: HeadProcess, node: number): Promise<void> {
  const settings = { image: pick(images), netdevs: { eth0: { mac: mac(node), primary: true } } }
  await api(head, 'PUT', `/api/nodes/n${node}`, { profiles: [], settings })
  const answer = await fetch(`${head.url}/boot/${mac(node)}`)
  const script = await answer.text()
  for (const [, hex = ''] of script.matchAll(/\/blobs\/sha256\/([0-9a-f]{64})/g)) {
    const blob = await fetch(`${head.url}/blobs/sha256/${hex}`)
    if (digestOfBytes(new Uint8Array(await blob.arrayBuffer())) !== `sha256:${hex}`) throw new Error('not what it is')
  }
  await api(head, 'PATCH', `/api/nodes/n${node}`, { settings: { image: null } })
  if (script.includes('/blobs/sha256/')) done.booted += 1
  await pause(100)
}

/** Fetches a version as a node does. What is not there although the version still is, is a fault. */
async function hunt(head: HeadProcess, faults: string[]): Promise<void> {
  const image = pick(images)
  const versions = (await (await api(head, 'GET', `/api/images/${image}/versions`)).json()) as Version[]
  const { number, digest } = pick(versions)
  const manifest = await fetch(`${head.url}/blobs/sha256/${hexOf(digest)}`)
  const text = await manifest.text()
  const digests = [digest, ...(text.match(/sha256:[0-9a-f]{64}/g) ?? [])] as Digest[]
  for (const one of digests) {
    const blob = await fetch(`${head.url}/blobs/sha256/${hexOf(one)}`)
    const bytes = new Uint8Array(await blob.arrayBuffer())
    if (blob.ok && digestOfBytes(bytes) === one) continue
    const still = await api(head, 'GET', `/api/images/${image}/versions`)
    const known = ((await still.json()) as Version[]).some((version) => version.number === number)
    if (blob.ok || known) faults.push(`${image}@${number}: ${one} was answered ${blob.status}, ${bytes.length} bytes`)
  }
  done.read += digests.length
}

type Version = { number: number; digest: Digest }

/** Blobs that somebody refers to and that are not there or not whole. */
async function lost(): Promise<string[]> {
  const { needed, missing } = await references()
  const found = await Promise.all(
    [...needed].map(async (digest) => ((await blobs.check(digest)) ? [] : [`${digest} is needed and not whole`])),
  )
  return [...missing, ...found.flat()]
}

/** What is referred to, read from the databases as they lie on the disk. */
async function references(): Promise<{ needed: Set<Digest>; missing: string[] }> {
  const needed = new Set<Digest>()
  const missing: string[] = []
  const addVersion = async (digest: Digest) => {
    const manifest = await readManifest(blobs, digest)
    if (!manifest) missing.push(`no manifest ${digest}`)
    else for (const part of partsOf(digest, manifest)) needed.add(part.digest)
  }
  const registry = new Database(join(data, 'registry.db'), { readonly: true })
  const activity = new Database(join(data, 'activity.db'), { readonly: true })
  try {
    const column = (database: Database.Database, query: string) => database.prepare(query).pluck().all() as Digest[]
    const versions = column(registry, 'select distinct digest from image_versions')
    for (const digest of versions) await addVersion(digest)
    const booting = column(activity, `select distinct plan->>'$.image.digest' from attempts`)
    for (const digest of booting) await addVersion(digest)
    for (const path of ['kernel', 'root']) {
      for (const digest of column(activity, `select distinct plan->>'$.${path}.digest' from attempts`))
        if (digest) needed.add(digest)
    }
    const roots = `select root->>'digest' from root_archives where image in (select digest from image_versions)`
    for (const digest of column(registry, roots)) needed.add(digest)
  } finally {
    registry.close()
    activity.close()
  }
  return { needed, missing }
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

function pick<T>(items: readonly T[]): T {
  const item = items[Math.floor(Math.random() * items.length)]
  if (item === undefined) throw new Error('there is nothing to pick from')
  return item
}

/** Waits until it holds; what it waits for always comes, so the bound only keeps a broken service from hanging the test. */
async function until(holds: () => boolean): Promise<void> {
  for (let turn = 0; !holds() && turn < 4000; turn++) await pause(5)
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))
