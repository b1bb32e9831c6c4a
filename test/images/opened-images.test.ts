import { beforeEach, describe, expect, it } from 'vitest'
import { parseDigest } from '../../src/blobs/digest.ts'
import type { OpenedImage } from '../../src/images/opened-image.ts'
import { openedImages } from '../../src/images/opened-images.ts'

const [a, b, c] = ['a', 'b', 'c'].map((digit) => parseDigest(`sha256:${digit.repeat(64)}`))

describe('opened versions', () => {
  let opened: string[]
  let fails: boolean
  let open: ReturnType<typeof openedImages>
  beforeEach(() => {
    opened = []
    fails = false
    open = openedImages(async (digest) => {
      opened.push(digest)
      if (fails) throw new Error('the disk is gone')
      return { digest } as OpenedImage // nothing else of it is looked at
    })
  })

  it('are opened once, also for many who ask at once', async () => {
    const [first, second] = await Promise.all([open(a!), open(a!)])
    expect(first).toBe(second)
    expect(await open(a!)).toBe(first)
    expect(opened).toEqual([a])
  })

  it('are forgotten when two others were asked for later', async () => {
    for (const digest of [a, b, a, c, a, b]) await open(digest!)
    expect(opened).toEqual([a, b, c, b])
  })

  it('are tried again after a failure', async () => {
    fails = true
    await expect(open(a!)).rejects.toThrow('the disk is gone')
    fails = false
    expect((await open(a!)).digest).toBe(a)
    expect(opened).toEqual([a, a])
  })
})
