/** A head node collects garbage by itself. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test, vi } from 'vitest'
import { fsBlobStore } from '../../src/blobs/fs.ts'
import { readConfig } from '../../src/config.ts'
import { startHead } from '../../src/head.ts'
import type { Log } from '../../src/log.ts'
import { bytesOf, streamOfBytes } from '../blobs/bytes.ts'

test('a head node collects garbage by itself, says so, and stops with it', async () => {
  const data = await mkdtemp(join(tmpdir(), 'muster-head-'))
  const log = vi.fn<Log>()
  const blobs = fsBlobStore(join(data, 'blobs'))
  const { digest } = await blobs.add(streamOfBytes(bytesOf(1000)))
  const config = readConfig({ MUSTER_DATA: data, MUSTER_HOST: '127.0.0.1', MUSTER_PORT: '0' }, data)
  const head = await startHead({ ...config, collectEvery: 20, collectGrace: 0 }, { log })
  try {
    const told = () => log.mock.calls.filter(([, message]) => message === 'garbage is collected')
    await vi.waitFor(() => expect(told().length).toBeGreaterThan(1), { timeout: 20_000 })
    expect(told()[0]).toEqual(['info', 'garbage is collected', { kept: 0, young: 0, deleted: 1, bytes: 1000 }])
    expect(await blobs.stat(digest)).toBeUndefined()
  } finally {
    await head.close()
  }
  expect(log.mock.calls.filter(([level]) => level === 'error')).toEqual([])
  await rm(data, { recursive: true })
})
