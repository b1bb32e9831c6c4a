import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { renderOverlays } from '../../src/overlays/layers.ts'
import { parseOverlay } from '../../src/overlays/parse.ts'
import { type OverlaySource, overlaySource } from '../../src/overlays/store.ts'
import { buildView } from '../../src/overlays/view.ts'
import { pushOverlay } from '../../src/registry/overlays.ts'
import type { RegistryDatabase } from '../../src/registry/schema.ts'
import { openRegistry } from '../../src/registry/sqlite.ts'
import { bootAssets, folderAssets, inputOf, plain, sourceFile, textOf } from './fixtures.ts'

describe('the source of overlays', () => {
  let folder: string
  let assets: ReturnType<typeof folderAssets>
  let registry: RegistryDatabase
  let close: () => void
  let source: OverlaySource

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'overlays-'))
    for (const name of ['hostname', 'hosts'])
      cpSync(join(bootAssets, 'overlays', name), join(folder, 'overlays', name), { recursive: true })
    assets = folderAssets(folder)
    const opened = openRegistry(join(folder, 'registry.db'))
    registry = opened.database
    close = opened.close
    source = overlaySource({ assets, registry })
  })
  afterEach(() => {
    close()
    rmSync(folder, { recursive: true })
  })

  async function push(name: string, texts: Record<string, string>): Promise<void> {
    const files = Object.entries(texts).map(([path, text]) => sourceFile(path, text))
    await pushOverlay(registry, { author: 'test', at: new Date(0) }, { name, ...(await parseOverlay(name, files)) })
  }

  it('finds a shipped overlay, and reads its files once as long as the assets stay', async () => {
    const found = await source.find('hostname')
    expect(found?.layers.map((layer) => layer.origin)).toEqual(['shipped'])
    expect(renderOverlays(found ? [found] : [], buildView(inputOf(plain))).map(textOf)).toEqual(['n2\n'])
    const reads = assets.reads.length
    expect(reads).toBeGreaterThan(0)
    expect(await source.find('hostname')).toEqual(found)
    expect(assets.reads.length).toBe(reads)

    writeFileSync(join(folder, 'overlays/hostname/files/etc/hostname.mustache'), 'changed\n')
    assets.touch()
    const changed = await source.find('hostname')
    expect(renderOverlays(changed ? [changed] : [], {}).map(textOf)).toEqual(['changed\n'])
    expect(changed?.digest).not.toBe(found?.digest)
  })

  it('has what the site pushed above the shipped overlay, with its version', async () => {
    const before = await source.find('hostname')
    await push('hostname', { 'files/etc/hostname': 'mine\n', 'files/etc/motd': 'hello\n' })
    const after = await source.find('hostname')
    expect(renderOverlays(after ? [after] : [], {}).map((file) => [file.path, textOf(file), file.version])).toEqual([
      ['/etc/hostname', 'mine\n', 1],
      ['/etc/motd', 'hello\n', 1],
    ])
    expect(after?.digest).not.toBe(before?.digest)
    await push('hostname', { 'files/etc/motd': 'hello again\n' })
    const last = await source.find('hostname')
    expect(
      renderOverlays(last ? [last] : [], buildView(inputOf(plain))).map((file) => [textOf(file), file.version]),
    ).toEqual([
      ['n2\n', undefined],
      ['hello again\n', 2],
    ])
  })

  it('finds an overlay that only the site has, also with bytes that are no text', async () => {
    const content = Uint8Array.from({ length: 256 }, (_, at) => at)
    const parsed = await parseOverlay('mine', [{ path: 'files/etc/key', content, executable: false }])
    await pushOverlay(registry, { author: 'test', at: new Date(0) }, { name: 'mine', ...parsed })
    const [file] = renderOverlays([(await source.find('mine'))!], {})
    expect(file).toMatchObject({ path: '/etc/key', content })
  })

  it('gives equal overlays of two names their own version numbers', async () => {
    await push('a', { 'files/x': 'old' })
    await push('a', { 'files/x': 'same' })
    await push('b', { 'files/x': 'same' })
    const [a, b] = [await source.find('a'), await source.find('b')]
    expect([a?.layers[0], b?.layers[0]]).toMatchObject([{ version: 2 }, { version: 1 }])
  })

  it.each(['nothing', '../hosts', '', 'a/b', '.'])('finds no overlay %j', async (name) => {
    expect(await source.find(name)).toBeUndefined()
  })

  it('lists shipped and pushed overlays by name', async () => {
    await push('hosts', { 'files/etc/hosts': '' })
    await push('mine', { 'files/etc/mine': '' })
    const digest = expect.stringMatching(/^sha256:/)
    expect(await source.list()).toEqual([
      { name: 'hostname', shipped: true },
      { name: 'hosts', shipped: true, site: { version: 1, digest } },
      { name: 'mine', shipped: false, site: { version: 1, digest } },
    ])
  })

  it('says what is wrong with a shipped overlay that was edited badly, and finds it once it is mended', async () => {
    const file = join(folder, 'overlays/hosts/overlay.yaml')
    writeFileSync(file, 'files: { /etc/hosts: { mode: 600 } }')
    await expect(source.find('hosts')).rejects.toMatchObject({ code: 'OVERLAY_INVALID' })
    writeFileSync(file, 'files: { /etc/hosts: { mode: "0600" } }')
    expect((await source.find('hosts'))?.layers[0]?.manifest.entries[0]?.mode).toBe(0o600)
  })

  it('does not take a registry that fails for one without the overlay', async () => {
    await push('mine', { 'files/etc/mine': '' })
    close()
    await expect(source.find('mine')).rejects.toThrow()
    close = () => {}
  })

  it('does not serve an overlay whose contents the registry has lost', async () => {
    await push('mine', { 'files/etc/mine': 'x' })
    const { overlayContents } = await import('../../src/registry/schema.ts')
    await registry.delete(overlayContents).run()
    await expect(source.find('mine')).rejects.toThrow(/the registry has lost sha256:[0-9a-f]{64} of overlay mine@1/)
  })
})
