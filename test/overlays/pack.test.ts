import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { joined } from '../../src/archive/pieces.ts'
import { renderOverlays } from '../../src/overlays/layers.ts'
import { cpioEntries, packOverlay, plainLimit } from '../../src/overlays/pack.ts'
import { parseOverlay } from '../../src/overlays/parse.ts'
import type { RenderedFile } from '../../src/overlays/render.ts'
import { buildView } from '../../src/overlays/view.ts'
import { bonded, inputOf, overlayOf, plain, shippedOverlay, sourceFile } from './fixtures.ts'

/** The archive in one piece. */
const packed = (files: readonly RenderedFile[]) => {
  const { size, pieces } = packOverlay(files)
  const bytes = joined(pieces)
  expect(bytes.length).toBe(size)
  return bytes
}

/** What cpio(1) says is in an archive: mode, owner, and path with a link's target. */
function listed(archive: Uint8Array): string[] {
  const text = execFileSync('cpio', ['-itvn', '--quiet'], { input: archive, encoding: 'utf8' })
  return text
    .trimEnd()
    .split('\n')
    .map((line) => {
      const [mode, , uid, gid, , , , , ...path] = line.split(/\s+/)
      return `${mode} ${uid}:${gid} ${path.join(' ')}`
    })
}

const allShipped = () =>
  Promise.all(['hostname', 'hosts', 'systemd-networkd', 'ssh-authorized-keys'].map(shippedOverlay))

describe('a packed overlay', () => {
  it('has every directory once and before what is in it, with the modes that directories have', async () => {
    const overlay = await parseOverlay('o', [
      sourceFile(
        'overlay.yaml',
        'files: { /root/.ssh/: { mode: "0700" }, /srv/: { owner: "5:6" }, /etc/key: { mode: "0600", owner: "7:8" } }',
      ),
      sourceFile('files/root/.ssh/authorized_keys', 'key'),
      sourceFile('files/tmp/x', ''),
      sourceFile('files/etc/key', 'secret'),
      sourceFile('files/etc/rc.d/run', '', true),
      { path: 'files/etc/link', content: new Uint8Array(), executable: false, link: '../srv' },
    ])
    const files = renderOverlays([{ name: 'o', layers: [{ origin: 'shipped', ...overlay }], digest: 'sha256:' }], {})
    expect(listed(packed(files))).toEqual([
      'drwxr-xr-x 0:0 etc',
      '-rw------- 7:8 etc/key',
      'lrwxrwxrwx 0:0 etc/link -> ../srv',
      'drwxr-xr-x 0:0 etc/rc.d',
      '-rwxr-xr-x 0:0 etc/rc.d/run',
      'drwx------ 0:0 root',
      'drwx------ 0:0 root/.ssh',
      '-rw-r--r-- 0:0 root/.ssh/authorized_keys',
      'drwxr-xr-x 5:6 srv',
      'drwxrwxrwt 0:0 tmp',
      '-rw-r--r-- 0:0 tmp/x',
    ])
  })

  it('is unpacked by cpio to what was rendered', async () => {
    const files = renderOverlays(await allShipped(), buildView(inputOf(plain)))
    const folder = mkdtempSync(join(tmpdir(), 'overlay-'))
    try {
      execFileSync('cpio', ['-id', '--quiet'], { cwd: folder, input: packed(files) })
      for (const file of files)
        if (file.type === 'file')
          expect(execFileSync('cat', [join(folder, file.path)])).toEqual(Buffer.from(file.content))
    } finally {
      rmSync(folder, { recursive: true })
    }
  })

  it('is the same bytes for the same files, in whatever order', async () => {
    const files = renderOverlays(await allShipped(), buildView(inputOf(bonded)))
    expect(packed(files.toReversed())).toEqual(packed(files))
  })

  it('holds large contents without a copy, and has few pieces all the same', async () => {
    const large = 'x'.repeat(100_001)
    const files = renderOverlays(
      [await overlayOf('o', { 'files/a': 'a', 'files/b': large, 'files/c': 'c', 'files/d': 'd' })],
      {},
    )
    const { pieces } = packOverlay(files)
    expect(pieces.map((piece) => files.some((file) => file.type === 'file' && file.content === piece))).toEqual([
      false,
      true,
      false,
    ])
    expect(listed(packed(files)).map((line) => line.split(' ').at(-1))).toEqual(['a', 'b', 'c', 'd'])
  })

  it.each([0, 1, 2, 3])('ends on a multiple of 4 as long as it is plain (%i bytes over)', async (over) => {
    const bytes = packed(renderOverlays([await overlayOf('o', { 'files/f': 'x'.repeat(over) })], {}))
    expect(bytes.length % 4).toBe(0)
    expect(new TextDecoder().decode(bytes.subarray(0, 6))).toBe('070701')
  })

  it('is one gzip member without a time when it is large', async () => {
    const text = 'line of a large file\n'.repeat(plainLimit / 16)
    const files = renderOverlays([await overlayOf('o', { 'files/f': text })], {})
    const [bytes, again] = [packed(files), packed(files)]
    expect([...bytes.subarray(0, 8)]).toEqual([0x1f, 0x8b, 8, 0, 0, 0, 0, 0])
    expect(again).toEqual(bytes)
    expect(listed(gunzipSync(bytes))).toEqual(['-rw-r--r-- 0:0 f'])
    expect(bytes.length).toBeLessThan(text.length / 10)
  })

  it('lets the directory of an overlay stand for the usual one', () => {
    const common = { uid: 0, gid: 0, overlay: 'o' }
    const files: RenderedFile[] = [
      { ...common, path: '/a/b/f', mode: 0o644, type: 'link', target: 'x' },
      { ...common, path: '/a/b', mode: 0o750, type: 'directory' },
    ]
    for (const order of [files, files.toReversed()])
      expect(cpioEntries(order).map(({ path, mode }) => [path, mode])).toEqual([
        ['a', 0o755],
        ['a/b', 0o750],
        ['a/b/f', 0o644],
      ])
  })
})
