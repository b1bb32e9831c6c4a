import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { leftovers, makeTree, type ShellRig, shellRig } from './shell-rig.ts'

let rig: ShellRig
let segments: string[]
beforeAll(async () => {
  rig = await shellRig()
  await rig.importTree('box', await makeTree(join(rig.folder, 'box')))
  segments = await rig.segments('box@1')
}, 60_000)
afterAll(() => rig.close())
afterEach(async () => {
  delete rig.between.answer
  expect(await leftovers(rig)).toEqual([])
})

/** Reads a file of the unpacked image, and hears of every request for a segment: which, and from where. */
async function unpack(answer: (digest: string, from: number, turn: number) => Promise<Response | undefined>) {
  const asked = new Map<string, number[]>()
  rig.between.answer = async (request) => {
    const digest = /\/blobs\/sha256\/([0-9a-f]+)$/.exec(request.url)?.[1]
    if (digest === undefined) return undefined
    const from = Number(/^bytes=(\d+)-$/.exec(request.headers.get('range') ?? '')?.[1] ?? 0)
    const turns = [...(asked.get(`sha256:${digest}`) ?? []), from]
    asked.set(`sha256:${digest}`, turns)
    return answer(`sha256:${digest}`, from, turns.length)
  }
  const ran = await rig.image('exec', 'box@1', '--discard', '--', 'cat', '/etc/motd')
  return { ...ran, asked }
}

const bytesOf = async (digest: string): Promise<Uint8Array<ArrayBuffer>> =>
  new Uint8Array(await (await rig.app.request(`/blobs/${digest.replace(':', '/')}`)).arrayBuffer())

/** Half of a body, and then the connection breaks. */
const broken = (bytes: Uint8Array<ArrayBuffer>): Response => {
  const half = bytes.slice(0, bytes.length >> 1)
  let sent = false
  const body = new ReadableStream({
    async pull(controller) {
      if (!sent) controller.enqueue(half)
      // What was sent must have left before the connection ends.
      else await new Promise((resolve) => setTimeout(resolve, 100)).then(() => controller.error(new Error('cut')))
      sent = true
    },
  })
  return new Response(body, { headers: { 'content-length': String(bytes.length) } })
}

describe('segments of a version', () => {
  it('are fetched once each', async () => {
    const { code, out, asked } = await unpack(async () => undefined)
    expect([code, out]).toEqual([0, 'hello\n'])
    expect([...asked].sort()).toEqual(segments.map((digest) => [digest, [0]]).sort())
  })

  it('go on where a transfer broke off', async () => {
    const { code, out, asked } = await unpack(async (digest, _from, turn) =>
      turn === 1 && segments.indexOf(digest) % 4 === 0 ? broken(await bytesOf(digest)) : undefined,
    )
    expect([code, out]).toEqual([0, 'hello\n'])
    for (const [at, digest] of segments.entries()) {
      const size = (await bytesOf(digest)).length
      expect(asked.get(digest)).toEqual(at % 4 === 0 ? [0, size >> 1] : [0])
    }
  })

  it('are fetched anew when they are not what the manifest names', async () => {
    const wrong = segments.at(-1)!
    const { code, asked } = await unpack(async (digest, _from, turn) =>
      digest === wrong && turn === 1 ? new Response((await bytesOf(digest)).fill(0, 3)) : undefined,
    )
    expect([code, asked.get(wrong)]).toEqual([0, [0, 0]])
  })

  it('are not unpacked when they never are', async () => {
    const wrong = segments[0]!
    const { code, out, err, asked } = await unpack(async (digest) =>
      digest === wrong ? new Response((await bytesOf(digest)).fill(0, 3)) : undefined,
    )
    expect([code, out, err]).toEqual([1, '', `muster: ${rig.url} sends other bytes than those of ${wrong}\n`])
    expect(asked.get(wrong)).toEqual([0, 0, 0, 0, 0])
  })

  it('are asked for again when the service is busy, and not when it does not have them', async () => {
    const one = segments[1]!
    const answer = (code: string, status: number) => Response.json({ code, message: `says ${code}` }, { status })
    const busy = await unpack(async (digest, _from, turn) =>
      digest === one && turn < 3 ? answer('REGISTRY_BUSY', 503) : undefined,
    )
    expect([busy.code, busy.asked.get(one)]).toEqual([0, [0, 0, 0]])
    const gone = await unpack(async (digest) => (digest === one ? answer('BLOB_UNKNOWN', 404) : undefined))
    expect([gone.code, gone.err, gone.asked.get(one)]).toEqual([1, 'muster: says BLOB_UNKNOWN\n', [0]])
  })
})
