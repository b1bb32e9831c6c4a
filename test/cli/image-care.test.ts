import { rm, writeFile } from 'node:fs/promises'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Digest } from '../../src/blobs/digest.ts'
import { resolveImage } from '../../src/registry/images.ts'
import { bytesOf, streamOfBytes } from '../blobs/bytes.ts'
import { type CareApp, careApp, file } from '../images/care.ts'
import { muster } from './muster.ts'

let app: CareApp
beforeEach(async () => {
  app = await careApp()
  await app.bring('rocky9', [file('srv/data', 1, 300_000)])
})
afterEach(() => app.close())

const spoil = async (digest: Digest) => {
  await rm(app.files.file(digest))
  await writeFile(app.files.file(digest), 'x')
}

describe('image gc', () => {
  it('shows what it would delete, deletes it, and then has nothing to delete', async () => {
    const { digest } = await app.blobs.add(streamOfBytes(bytesOf(2000)))
    const kept = new Set(await app.partsOf('rocky9')).size
    const inUse = `${kept} blobs in use`
    expect(await muster(app, ['image', 'gc'])).toEqual({
      code: 0,
      out: `deleted 0 blobs, 0 B\n${inUse}, 1 not in use but too young\n`,
      err: '',
    })
    app.hoursLater(25)
    expect(await muster(app, ['image', 'gc', '--dry-run'])).toEqual({
      code: 0,
      out: `BLOB${' '.repeat(digest.length - 2)}SIZE\n${digest}  2.00 kB\nwould delete 1 blob, 2.00 kB\n${inUse}, 0 not in use but too young\n`,
      err: '',
    })
    expect((await muster(app, ['image', 'gc', '--grace', '2d'])).out).toContain('deleted 0 blobs')
    expect((await muster(app, ['image', 'gc', '--grace', '90m'])).out).toContain('deleted 1 blob, 2.00 kB\n')
    expect(JSON.parse((await muster(app, ['image', 'gc', '--json'])).out)).toEqual({
      kept,
      young: 0,
      deleted: 0,
      bytes: 0,
    })
  })

  it('says which version keeps it from knowing what is garbage', async () => {
    await spoil((await resolveImage(app.services.registry, 'rocky9')).digest)
    const { code, err } = await muster(app, ['image', 'gc'])
    expect(code).toBe(1)
    expect(err).toMatch(/^muster: nothing was collected, because nobody can say which blobs rocky9@1 needs: import /)
  })

  it.each(['5', '1.5h', 'h', '-1h'])('takes no grace of %s', async (grace) => {
    expect(await muster(app, ['image', 'gc', `--grace=${grace}`])).toMatchObject({ code: 2, out: '' })
  })

  it('takes no grace that is shorter than an import', async () => {
    const { code, err } = await muster(app, ['image', 'gc', '--grace', '9m'])
    expect([code, err]).toEqual([2, 'muster: grace must be 600 seconds at least: imports need that time\n'])
  })
})

describe('image verify', () => {
  it('says that all is well', async () => {
    for (const argv of [['rocky9'], ['rocky9@1'], ['--all']]) {
      const { code, out, err } = await muster(app, ['image', 'verify', ...argv])
      expect([code, err]).toEqual([0, ''])
      expect(out).toMatch(/^verified \d blobs, 3\d\d kB: all is well\n$/)
    }
  })

  it('names what is damaged and what it hurts, ends with 1, and says what to do', async () => {
    const [, , segment] = await app.partsOf('rocky9')
    await spoil(segment!)
    const { code, out, err } = await muster(app, ['image', 'verify', 'rocky9'])
    expect(code).toBe(1)
    expect(out.split('\n').slice(0, 2)).toEqual([
      'BLOB                 FAULT  WHAT     VERSIONS',
      `${segment!.slice(0, 19)}  wrong  segment  rocky9@1`,
    ])
    expect(out).toMatch(/\nverified \d blobs, [\d.]+ kB: 1 bad\n$/)
    expect(err).toBe(
      'muster: 1 blob is damaged or missing: import the sources of rocky9@1 again with --no-current, which puts what is missing anew. Look at the disk\n',
    )
    const again = await muster(app, ['image', 'verify', '--all', '--json'])
    expect(again.code).toBe(1)
    expect(JSON.parse(again.out).bad).toMatchObject([{ digest: segment, fault: 'missing', versions: ['rocky9@1'] }])
    await app.bring('rocky9', [file('srv/data', 1, 300_000)])
    expect((await muster(app, ['image', 'verify', '--all'])).code).toBe(0)
  })

  it('sends nobody to import again for what is made again by itself', async () => {
    const { digest } = await app.blobs.add(streamOfBytes(bytesOf(2000)))
    await spoil(digest)
    const { code, err } = await muster(app, ['image', 'verify', '--all'])
    expect(code).toBe(1)
    expect(err).toContain('it hurts no version')
    expect(err).not.toContain('import')
  })

  it('goes on in steps until all is read, and shows how far it is', async () => {
    for (let seed = 1; seed <= 8; seed++) await app.blobs.add(streamOfBytes(bytesOf(1_000_000, seed)))
    const { code, out, err } = await muster(app, ['image', 'verify', '--all', '--rate', '4000'], { terminal: true })
    expect(code).toBe(0)
    expect(out).toMatch(/^verified \d+ blobs, 8\.3\d MB: all is well\n$/)
    expect(err).toMatch(/verifying/)
    let asked = 0
    const small = await muster(app, ['image', 'verify', '--all', '--rate', '1'], {
      async fetch(input, init) {
        asked += 1
        const body = JSON.parse(String(init?.body))
        return app.app.request(input as string, {
          ...init,
          body: JSON.stringify({ ...body, bytes: 2_000_000, rate: 2 ** 36 }),
        })
      },
    })
    expect(small.out).toBe(out)
    expect(asked).toBeGreaterThanOrEqual(4)
  })

  it.each([[[]], [['rocky9', '--all']], [['rocky9', '--rate', 'fast']], [['rocky9', '--rate', '0']]])(
    'is not understood with %j',
    async (argv) => {
      expect(await muster(app, ['image', 'verify', ...argv])).toMatchObject({ code: 2, out: '' })
    },
  )

  it('says that there is no such version', async () => {
    expect(await muster(app, ['image', 'verify', 'rocky9@9'])).toMatchObject({ code: 1, out: '' })
  })
})
