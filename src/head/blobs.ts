/** The blob store that the config asks for, on a head node. */
import { join } from 'node:path'
import { builtinDrivers, createStorage, type Driver } from 'unstorage'
import { fsBlobStore } from '../blobs/fs.ts'
import type { BlobStore } from '../blobs/store.ts'
import { unstorageBlobStore } from '../blobs/unstorage.ts'
import type { Config } from '../config.ts'
import { AppError } from '../errors.ts'
import type { Log } from '../log.ts'

/** Opens it. Throws when its driver lacks a package or refuses its options; never tells the options. */
export async function openBlobs({ blobs, data }: Pick<Config, 'blobs' | 'data'>, log: Log): Promise<BlobStore> {
  if (blobs.driver === 'fs') {
    const store = fsBlobStore(join(data, 'blobs'))
    const cleared = await store.clearIncoming()
    if (cleared > 0) log('info', 'removed blobs that were being written when the service stopped', { cleared })
    return store
  }
  const drivers: Readonly<Record<string, string>> = builtinDrivers
  try {
    // A driver's default export is its factory (unstorage.unjs.io/guide/custom-driver); its options differ by driver.
    const { default: create }: { default: (options: unknown) => Driver } = await import(drivers[blobs.driver] ?? '')
    return unstorageBlobStore(createStorage({ driver: create(blobs.options) }))
  } catch (cause) {
    const absent = cause instanceof Error && 'code' in cause && cause.code === 'ERR_MODULE_NOT_FOUND'
    const reason = absent ? 'needs a package that is not installed' : 'does not take MUSTER_BLOBS_OPTIONS'
    throw new AppError('INTERNAL', `the blob driver ${blobs.driver} ${reason}: see unstorage.unjs.io/drivers`, {
      cause,
    })
  }
}
