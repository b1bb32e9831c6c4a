/** An app with small images, their blobs, and a clock that runs from now on: for tests of collecting and verifying. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'vitest'
import type { Digest } from '../../src/blobs/digest.ts'
import { type FsBlobStore, fsBlobStore } from '../../src/blobs/fs.ts'
import type { BlobStore } from '../../src/blobs/store.ts'
import { readManifest } from '../../src/images/read-manifest.ts'
import { partsOf } from '../../src/images/references.ts'
import { resolveImage } from '../../src/registry/images.ts'
import type { Member } from '../archive/tar-writer.ts'
import { all } from '../blobs/bytes.ts'
import { type TestApp, testApp } from '../harness.ts'
import { basics, noise, tarOf } from './small-image.ts'

const hour = 3_600_000

/** The app and what the tests here do with it. */
export type CareApp = TestApp & {
  blobs: BlobStore
  /** The same without what stands between. */
  files: FsBlobStore
  /** Imports a root tree: what every image has, and these. Answers the version's number. */
  bring(image: string, members: Member[]): Promise<number>
  /** Digests of everything that a version consists of. */
  partsOf(reference: string): Promise<Digest[]>
  /** Digests of everything that is stored. */
  stored(): Promise<Digest[]>
  /** Sets the clock so many hours after the time at which blobs are stored. */
  hoursLater(hours: number): void
  /** Throws unless every blob of a version is there and whole. */
  expectWhole(reference: string): Promise<void>
}

/** A new one. `around` may stand between the app and its files. */
export async function careApp(around: (files: FsBlobStore) => BlobStore = (files) => files): Promise<CareApp> {
  const folder = await mkdtemp(join(tmpdir(), 'muster-care-'))
  const files = fsBlobStore(folder)
  const blobs = around(files)
  const test = await testApp({ blobs })
  const { registry } = test.services
  const app: CareApp = {
    ...test,
    blobs,
    files,
    async close() {
      await test.close()
      await rm(folder, { recursive: true })
    },
    async bring(image, members) {
      const body = tarOf([...basics, ...members])
      const headers = { 'content-type': 'application/x-tar' }
      return (await test.call('POST', `/api/images/${image}/versions?source=test`, { body, headers })).number
    },
    async partsOf(reference) {
      const { digest } = await resolveImage(registry, reference)
      const manifest = await readManifest(blobs, digest)
      return [...partsOf(digest, manifest!)].map((part) => part.digest)
    },
    stored: async () => (await all(blobs.list())).map(({ digest }) => digest),
    hoursLater: (hours) => test.at(new Date(Date.now() + hours * hour)),
    async expectWhole(reference) {
      for (const digest of await app.partsOf(reference)) expect(await blobs.check(digest), digest).toBe(true)
    },
  }
  app.hoursLater(0)
  return app
}

/** A file that no other image has, and that does not compress. */
export const file = (name: string, seed: number, size: number): Member => ({ name, data: noise(size, seed) })
