/** Every kind of edit, on both kinds of database: what is written can be read, and lost races are run again. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createToken, deleteToken, tokenVerifier } from '../../src/auth/tokens.ts'
import { digestOf } from '../../src/blobs/digest.ts'
import { deleteImage } from '../../src/registry/image-removal.ts'
import { addVersion, countVersions, listVersions, resolveImage, setCurrent } from '../../src/registry/images.ts'
import { changeNodes, findNode, listNodes, nodeByMac } from '../../src/registry/nodes.ts'
import { deleteOverlay, listOverlayVersions, overlayFiles, pushOverlay } from '../../src/registry/overlays.ts'
import { changeProfile, usersOf } from '../../src/registry/profiles.ts'
import { currentRevision, edit, getRevision, historyOf } from '../../src/registry/revisions.ts'
import { type RegistryDatabase, revisions } from '../../src/registry/schema.ts'
import { selectForEdit } from '../../src/registry/select.ts'
import { createSnapshots } from '../../src/registry/snapshot.ts'
import { type Databases, eachDatabase } from '../databases.ts'
import { versionOf } from '../harness.ts'

const editor = { author: 'tester', at: new Date(5) }

describe.each(eachDatabase)('edits on %s', (_name, open) => {
  let databases: Databases
  let db: RegistryDatabase
  beforeAll(async () => {
    databases = await open()
    db = databases.registry
  })
  afterAll(() => databases.close())

  const withMac = (last: number) => ({
    profiles: ['rack'],
    settings: { netdevs: { eth0: { mac: `52:54:00:00:00:0${last}` } } },
  })

  it('of profiles and nodes, with MACs that change hands', async () => {
    await changeProfile(db, editor, 'rack', () => ({ profiles: [], settings: { tags: { rack: 'r1' } } }))
    await changeNodes(
      db,
      editor,
      async () => ['n1', 'n2'],
      (name) => withMac(name === 'n1' ? 1 : 2),
    )
    const { revision } = await changeNodes(
      db,
      editor,
      async () => ['n1', 'n2'],
      (name) => withMac(name === 'n1' ? 2 : 1),
    )
    expect((await nodeByMac(db)('52:54:00:00:00:01'))?.name).toBe('n2')
    await expect(
      changeNodes(
        db,
        editor,
        async () => ['n3'],
        () => withMac(1),
      ),
    ).rejects.toMatchObject({ code: 'MAC_TAKEN' })
    expect(await selectForEdit(db, 'tag:rack=r1')).toEqual(['n1', 'n2'])
    expect(await usersOf(db, 'rack')).toEqual({ nodes: ['n1', 'n2'], profiles: [] })
    expect((await getRevision(db, revision)).changes.map(({ name }) => name)).toEqual(['n1', 'n2'])
    expect(await historyOf(db, 'node', 'n1', { limit: 5 })).toHaveLength(2)
  })

  it('of images', async () => {
    for (const text of ['one', 'two'])
      await addVersion(db, editor, { ...(await versionOf('rocky9', text)), source: text })
    expect((await resolveImage(db, 'rocky9')).number).toBe(2)
    await setCurrent(db, editor, 'rocky9', 1)
    const one = await resolveImage(db, 'rocky9')
    expect([one.number, one.summary]).toEqual([1, (await versionOf('rocky9', 'one')).summary])
    expect((await resolveImage(db, `rocky9@${one.digest}`)).number).toBe(1)
    expect((await resolveImage(db, 'rocky9@2')).source).toBe('two')
    expect(await countVersions(db)).toEqual(new Map([['rocky9', 2]]))
    await deleteImage(db, editor, 'rocky9')
    await expect(listVersions(db, 'rocky9')).rejects.toMatchObject({ code: 'IMAGE_UNKNOWN' })
    expect(await countVersions(db)).toEqual(new Map())
  })

  it('of overlays, whose contents are any bytes', async () => {
    const content = Uint8Array.from({ length: 256 }, (_, byte) => byte)
    const digest = await digestOf(content)
    const entry = { path: '/a', mode: 0o644, uid: 0, gid: 0, template: false, type: 'file', digest, size: 256 } as const
    const sources = [{ path: 'files/a', executable: false, digest }]
    const wanted = { name: 'o', manifest: { entries: [entry] }, sources, contents: new Map([[digest, content]]) }
    expect(await pushOverlay(db, editor, wanted)).toMatchObject({ created: true, version: { number: 1 } })
    expect(await pushOverlay(db, editor, wanted)).toMatchObject({ created: false })
    const readme = { path: 'README', executable: false, digest }
    expect(await pushOverlay(db, editor, { ...wanted, sources: [readme, ...sources] })).toMatchObject({ created: true })
    expect(await overlayFiles(db, [digest])).toEqual(new Map([[digest, content]]))
    await deleteOverlay(db, editor, 'o', { shadows: false })
    expect(await listOverlayVersions(db, 'o')).toEqual([])
  })

  it('of tokens', async () => {
    const { token } = await createToken(db, { name: 'ci', scope: 'read' }, editor)
    const verify = tokenVerifier(db, () => new Date(5))
    expect(await verify(token)).toEqual({ name: 'ci', scope: 'read' })
    await deleteToken(db, 'ci', editor)
    await expect(verify(token)).rejects.toMatchObject({ code: 'TOKEN_INVALID' })
  })

  it('of thousands of nodes at once', async () => {
    const names = Array.from({ length: 3000 }, (_, at) => `m${at}`)
    const before = await currentRevision(db)
    await changeNodes(
      db,
      editor,
      async () => names,
      () => ({ profiles: [], settings: { domain: 'x' } }),
    )
    await changeNodes(
      db,
      editor,
      () => selectForEdit(db, 'm*'),
      () => undefined,
    )
    expect(await currentRevision(db)).toBe(before + 2)
    expect(await listNodes(db)).toHaveLength(2)
  })

  it('that come at once, none of which is lost', async () => {
    const before = await currentRevision(db)
    const tag = (number: number) =>
      changeNodes(
        db,
        editor,
        async () => ['n1'],
        (_name, old) => ({
          profiles: [],
          settings: { tags: { ...old?.settings.tags, [`t${number}`]: 'x' } },
        }),
      )
    await Promise.all(Array.from({ length: 25 }, (_, number) => tag(number)))
    expect(Object.keys((await findNode(db, 'n1'))?.settings.tags ?? {})).toHaveLength(25)
    expect(await currentRevision(db)).toBe(before + 25)
  })

  it('that lose a race to another process are computed anew, and give up when they always do', async () => {
    const rival = (id: number) =>
      db.batch([db.insert(revisions).values({ id, at: editor.at, author: 'rival', message: '' })])
    let runs = 0
    const { revision } = await edit(db, editor, async (next) => {
      runs++
      if (runs <= 3) await rival(next)
      return {
        changes: [{ noun: 'node', name: 'n1', before: null, after: { run: runs } }],
        statements: [],
        result: undefined,
      }
    })
    expect(runs).toBe(4)
    expect((await getRevision(db, revision)).changes).toMatchObject([{ after: { run: 4 } }])
    const always = edit(db, editor, async (next) => {
      await rival(next)
      return { changes: [{ noun: 'node', name: 'n1', before: null, after: null }], statements: [], result: undefined }
    })
    await expect(always).rejects.toMatchObject({ code: 'REGISTRY_BUSY' })
  })

  it('are seen by the next snapshot, and make no new one while nothing changes', async () => {
    const snapshots = createSnapshots(db)
    const first = await snapshots()
    expect(await snapshots()).toBe(first)
    await changeProfile(db, editor, 'rack', () => ({ profiles: [], settings: { domain: 'y' } }))
    const second = await snapshots()
    expect(second.revision).toBe(first.revision + 1)
    expect(second.profiles.get('rack')?.settings).toEqual({ domain: 'y' })
    await expect(second.image('gone')).rejects.toMatchObject({ code: 'IMAGE_UNKNOWN' })
  })
})
