/** Images, versions and tags on both kinds of database. */
import fc from 'fast-check'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { digestOf } from '../../src/blobs/digest.ts'
import { copyImage, renameImage } from '../../src/registry/image-names.ts'
import { parseReference, parseVersion, tagSchema } from '../../src/registry/image-reference.ts'
import { deleteImage, deleteVersion, pruneVersions } from '../../src/registry/image-removal.ts'
import { deleteTag, setTag } from '../../src/registry/image-tags.ts'
import {
  addVersion,
  currentVersions,
  getImage,
  listImages,
  listVersions,
  resolveImage,
  setCurrent,
  tagsOf,
} from '../../src/registry/images.ts'
import { changeNodes, getNode } from '../../src/registry/nodes.ts'
import { changeProfile, getProfile } from '../../src/registry/profiles.ts'
import { currentRevision, getRevision } from '../../src/registry/revisions.ts'
import type { Rollout, RolloutState } from '../../src/registry/rollouts.ts'
import { type RegistryDatabase, rollouts } from '../../src/registry/schema.ts'
import { settingsSchema } from '../../src/registry/settings.ts'
import { type Databases, eachDatabase } from '../databases.ts'
import { versionOf } from '../harness.ts'

const editor = { author: 'tester', at: new Date(5) }
const trial = { ...editor, dryRun: true }

describe.each(eachDatabase)('images on %s', (_name, open) => {
  let databases: Databases
  let db: RegistryDatabase
  /** An image that no other test has. */
  let name: string
  let count = 0
  beforeAll(async () => {
    databases = await open()
    db = databases.registry
  })
  afterAll(() => databases.close())
  beforeEach(() => {
    count++
    name = `image${count}`
  })

  const add = async (text: string, current = true, by = editor) =>
    addVersion(db, by, { ...(await versionOf(name, text)), source: text, current })
  const three = async () => {
    for (const text of ['one', 'two', 'three']) await add(text)
  }
  const numbers = async (image = name) => (await listVersions(db, image)).map(({ number }) => number)
  const giveNode = (node: string, image: string | undefined) =>
    changeNodes(
      db,
      editor,
      async () => [node],
      () => (image === undefined ? undefined : { profiles: [], settings: { image, domain: 'x' } }),
    )
  const giveProfile = (profile: string, image: string | undefined) =>
    changeProfile(db, editor, profile, () =>
      image === undefined ? undefined : { profiles: [], settings: { image, ntp: ['a'] } },
    )
  const rollOut = async (state: RolloutState, number: number, before?: string): Promise<Rollout> => {
    const row: Rollout = {
      id: count * 10 + number,
      image: name,
      number,
      state,
      plan: {
        digest: await digestOf(new Uint8Array()),
        waves: [[{ name: `n${count}`, ...(before !== undefined && { before }) }]],
        sizes: [1],
        times: [],
        maxFailed: 0,
        readySeconds: 60,
        selector: '*',
        current: null,
      },
      author: 'tester',
      revision: 1,
      createdAt: editor.at,
      changedAt: editor.at,
    }
    await db.batch([db.insert(rollouts).values(row)])
    return row
  }
  const endRollouts = () => db.batch([db.update(rollouts).set({ state: 'finished' })])

  describe('versions', () => {
    it('are numbered, the first becomes current, and later ones when they are to', async () => {
      expect(await add('one', false)).toMatchObject({ created: true, version: { number: 1, message: '' } })
      expect(await add('two', false)).toMatchObject({ created: true, version: { number: 2 } })
      expect(await getImage(db, name)).toMatchObject({ current: 1, newest: 2 })
      await add('three')
      expect(await getImage(db, name)).toMatchObject({ current: 3, newest: 3 })
    })

    it('keep why, by whom and from where they were made', async () => {
      const wanted = { ...(await versionOf(name)), provenance: { platform: 'linux/arm64', labels: { a: 'b' } } }
      const { revision } = await addVersion(db, { ...editor, message: 'security' }, wanted)
      expect(await resolveImage(db, name)).toEqual({
        image: name,
        number: 1,
        digest: wanted.digest,
        summary: wanted.summary,
        source: 'test',
        provenance: wanted.provenance,
        message: 'security',
        author: 'tester',
        revision,
        createdAt: editor.at,
      })
    })

    it('of content that any version has already are that version', async () => {
      await three()
      const before = await currentRevision(db)
      expect(await add('one', false)).toMatchObject({ created: false, version: { number: 1, source: 'one' } })
      expect(await currentRevision(db)).toBe(before)
      expect(await add('one', true)).toMatchObject({ created: false, version: { number: 1 } })
      expect(await getImage(db, name)).toMatchObject({ current: 1, newest: 3 })
      expect(await numbers()).toEqual([3, 2, 1])
      const other = await addVersion(db, editor, await versionOf(`${name}-other`, 'one'))
      expect(other).toMatchObject({ created: true, version: { number: 1 } })
    })

    it('are told by a revision, each as a thing of its own', async () => {
      await add('one')
      const { revision, version } = await add('two')
      expect((await getRevision(db, revision)).changes).toEqual([
        { noun: 'image', name, before: { current: 1, newest: 1 }, after: { current: 2, newest: 2 } },
        { noun: 'image', name: `${name}@2`, before: null, after: { digest: version.digest, source: 'two' } },
      ])
    })

    it('are found by number, tag, digest and as the current one', async () => {
      await three()
      await setTag(db, editor, { image: name, tag: 'tested', version: 1 })
      await setCurrent(db, editor, name, 2)
      const { digest } = await resolveImage(db, `${name}@3`)
      for (const [reference, number] of [
        ['', 2],
        ['@1', 1],
        ['@tested', 1],
        [`@${digest}`, 3],
      ] as const)
        expect((await resolveImage(db, name + reference)).number).toBe(number)
      expect((await currentVersions(db, [name])).get(name)?.number).toBe(2)
    })

    it.each([
      ['a number that was not given', '@4', 'has no version 4'],
      ['a tag that nobody set', '@stable', 'has no version stable'],
      ['a digest of something else', `@sha256:${'0'.repeat(64)}`, 'has no version sha256:0'],
      ['what is neither', '@007', 'has no version "007"'],
      ['nothing', '@', 'has no version ""'],
      ['two', '@1@2', 'has no version "1@2"'],
      ['something to break a query', "@1' or 1=1 --", 'has no version'],
    ])('are not there for %s', async (_label, version, message) => {
      await three()
      const unknown = { code: 'IMAGE_UNKNOWN', message: expect.stringContaining(message) }
      await expect(resolveImage(db, name + version)).rejects.toMatchObject(unknown)
    })

    it('are chosen as the current one by number or tag', async () => {
      await three()
      await setTag(db, editor, { image: name, tag: 'old', version: 1 })
      const { revision } = await setCurrent(db, editor, name, 'old')
      expect(await getImage(db, name)).toMatchObject({ current: 1, revision })
      expect((await getRevision(db, revision)).changes).toEqual([
        {
          noun: 'image',
          name,
          before: { current: 3, newest: 3, tags: { old: 1 } },
          after: { current: 1, newest: 3, tags: { old: 1 } },
        },
      ])
      await expect(setCurrent(db, editor, name, 2, revision - 1)).rejects.toMatchObject({ code: 'REVISION_CONFLICT' })
    })
  })

  describe('a tag', () => {
    it('is set, moved and taken away, and each changes the revision of its image', async () => {
      await three()
      const set = await setTag(db, editor, { image: name, tag: 'tested', version: 1 })
      expect(set.result).toEqual({ tested: 1 })
      expect(await getImage(db, name)).toMatchObject({ revision: set.revision })
      const moved = await setTag(db, editor, { image: name, tag: 'tested', version: 3, expected: set.revision })
      expect(moved.changes).toEqual([
        {
          noun: 'image',
          name,
          before: { current: 3, newest: 3, tags: { tested: 1 } },
          after: { current: 3, newest: 3, tags: { tested: 3 } },
        },
      ])
      const same = await setTag(db, editor, { image: name, tag: 'tested', version: 'tested' })
      expect([same.changes, same.revision]).toEqual([[], moved.revision])
      await expect(
        setTag(db, editor, { image: name, tag: 'x', version: 1, expected: set.revision }),
      ).rejects.toMatchObject({ code: 'REVISION_CONFLICT' })
      expect((await deleteTag(db, editor, { image: name, tag: 'tested' })).result).toEqual({})
      await expect(deleteTag(db, editor, { image: name, tag: 'tested' })).rejects.toMatchObject({
        code: 'IMAGE_UNKNOWN',
      })
    })

    it.each(['', '7', '0', '.a', '-a', 'a b', 'a/b', 'sha256:aa', 'a@b', 'ü', 'x'.repeat(129)])(
      'is not called %j',
      async (tag) => {
        await add('one')
        const wanted = { image: name, tag, version: 1 }
        await expect(setTag(db, editor, wanted)).rejects.toMatchObject({ code: 'NAME_INVALID', field: 'tag' })
      },
    )

    it('belongs to a version that is there', async () => {
      await add('one')
      await expect(setTag(db, editor, { image: name, tag: 't', version: 2 })).rejects.toMatchObject({
        code: 'IMAGE_UNKNOWN',
      })
    })

    it('stays while somebody asks for it', async () => {
      await add('one')
      await setTag(db, editor, { image: name, tag: 'tested', version: 1 })
      await giveNode(`n${count}`, `${name}@tested`)
      await expect(deleteTag(db, editor, { image: name, tag: 'tested' })).rejects.toMatchObject({
        code: 'IMAGE_USED',
        message: expect.stringContaining(`node n${count}`),
      })
      await giveNode(`n${count}`, undefined)
      await rollOut('paused', 9, `${name}@tested`)
      await expect(deleteTag(db, editor, { image: name, tag: 'tested' })).rejects.toMatchObject({
        code: 'IMAGE_USED',
        message: expect.stringContaining('rollout'),
      })
      await endRollouts()
      expect((await deleteTag(db, editor, { image: name, tag: 'tested' })).result).toEqual({})
    })
  })

  describe('a version is deleted', () => {
    it('when nobody needs it, and its number is not given again', async () => {
      await three()
      const { revision, changes } = await deleteVersion(db, editor, { image: name, version: 3 - 1 })
      expect(changes).toMatchObject([{ noun: 'image', name: `${name}@2`, after: null, before: { source: 'two' } }])
      expect(await numbers()).toEqual([3, 1])
      expect(await getImage(db, name)).toMatchObject({ revision, current: 3 })
      await deleteVersion(db, editor, { image: name, version: 3 })
      expect(await getImage(db, name)).toMatchObject({ current: null, newest: 3 })
      await expect(resolveImage(db, name)).rejects.toMatchObject({
        message: expect.stringContaining('has no current version'),
      })
      expect((await add('four')).version.number).toBe(4)
      expect((await getImage(db, name)).current).toBe(4)
    })

    const uses: [string, () => Promise<unknown>, number, RegExp][] = [
      ['that is current and some node has the image', () => giveNode(`n${count}`, name), 3, /node n\d+: give them/],
      ['that a profile has by number', () => giveProfile(`p${count}`, `${name}@1`), 1, /profile p\d+: give them/],
      [
        'that a node has by digest',
        async () => giveNode(`n${count}`, `${name}@${(await resolveImage(db, `${name}@2`)).digest}`),
        2,
        /node n\d+: give them/,
      ],
      ['with a tag', () => setTag(db, editor, { image: name, tag: 'keep', version: 1 }), 1, /tag keep: .* untag /],
      ['that a rollout gives out', () => rollOut('running', 2), 2, /rollout \d+: .* rollout revert /],
      ['that a rollout would put back', () => rollOut('paused', 3, `${name}@1`), 1, /rollout \d+: .* rollout revert /],
    ]
    it.each(uses)('but not one %s', async (_label, use, version, message) => {
      await three()
      await use()
      await expect(deleteVersion(db, editor, { image: name, version })).rejects.toMatchObject({
        code: 'IMAGE_USED',
        message: expect.stringMatching(message),
      })
      expect(await numbers()).toEqual([3, 2, 1])
    })

    it('once a rollout is over', async () => {
      await three()
      await rollOut('reverted', 2)
      await deleteVersion(db, editor, { image: name, version: 2 })
      expect(await numbers()).toEqual([3, 1])
    })
  })

  describe('pruning', () => {
    it('deletes the oldest beyond the newest few, but none that is needed', async () => {
      for (const text of ['1', '2', '3', '4', '5', '6', '7']) await add(text)
      await setCurrent(db, editor, name, 2)
      await setTag(db, editor, { image: name, tag: 'keep', version: 4 })
      await giveNode(`n${count}`, `${name}@3`)
      const tried = await pruneVersions(db, trial, { image: name, keep: 2 })
      expect(await numbers()).toEqual([7, 6, 5, 4, 3, 2, 1])
      const { result, changes } = await pruneVersions(db, editor, { image: name, keep: 2 })
      expect(tried).toMatchObject({ result, changes })
      expect(result).toEqual({
        deleted: [1, 5],
        kept: [
          { number: 2, users: 'current' },
          { number: 3, users: `node n${count}` },
          { number: 4, users: 'tag keep' },
        ],
      })
      expect(changes.map((change) => change.name)).toEqual([`${name}@1`, `${name}@5`])
      expect(await numbers()).toEqual([7, 6, 4, 3, 2])
      const again = await pruneVersions(db, editor, { image: name, keep: 2 })
      expect([again.changes, again.result.deleted]).toEqual([[], []])
    })
  })

  describe('an image', () => {
    it('is deleted with its versions and tags, unless somebody needs it', async () => {
      await three()
      await setTag(db, editor, { image: name, tag: 't', version: 1 })
      await giveProfile(`p${count}`, `${name}@2`)
      await expect(deleteImage(db, editor, name)).rejects.toMatchObject({ code: 'IMAGE_USED' })
      await giveProfile(`p${count}`, undefined)
      await rollOut('running', 3)
      await expect(deleteImage(db, editor, name)).rejects.toMatchObject({
        code: 'IMAGE_USED',
        message: expect.stringContaining('rollout'),
      })
      await endRollouts()
      await deleteImage(db, editor, name)
      expect((await listImages(db)).map((image) => image.name)).not.toContain(name)
      expect((await tagsOf(db, [name])).size).toBe(0)
    })

    it('is renamed with all that refers to it, in one revision', async () => {
      await three()
      await setTag(db, editor, { image: name, tag: 'tested', version: 1 })
      const [node, other, profile] = [`n${count}`, `o${count}`, `p${count}`]
      await giveNode(node, `${name}@tested`)
      await giveNode(other, `${name}x@1`)
      await giveProfile(profile, name)
      const past = await rollOut('finished', 2, `${name}@1`)
      const before = await resolveImage(db, `${name}@tested`)
      const to = `renamed${count}`
      const tried = await renameImage(db, trial, { from: name, to })
      const { revision, changes, result } = await renameImage(db, editor, { from: name, to })
      expect(tried.changes).toEqual(changes)
      expect([result.nodes, result.profiles]).toEqual([1, 1])
      expect(await currentRevision(db)).toBe(revision)
      expect((await getNode(db, node)).settings).toEqual({ image: `${to}@tested`, domain: 'x' })
      expect((await getNode(db, other)).settings.image).toBe(`${name}x@1`)
      expect((await getProfile(db, profile)).settings).toEqual({ image: to, ntp: ['a'] })
      expect((await getNode(db, node)).revision).toBe(revision)
      expect(await resolveImage(db, `${to}@tested`)).toEqual({ ...before, image: to })
      expect(await numbers(to)).toEqual([3, 2, 1])
      await expect(getImage(db, name)).rejects.toMatchObject({ code: 'IMAGE_UNKNOWN' })
      const [rollout] = (await db.select().from(rollouts).all()).filter(({ id }) => id === past.id)
      expect([rollout?.image, rollout?.plan.waves[0]?.[0]?.before]).toEqual([to, `${to}@1`])
      expect((await getRevision(db, revision)).changes).toEqual(
        expect.arrayContaining([
          {
            noun: 'image',
            name,
            before: { current: 3, newest: 3, tags: { tested: 1 } },
            after: null,
          },
          expect.objectContaining({ noun: 'image', name: to, before: null }),
          {
            noun: 'node',
            name: node,
            before: { profiles: [], settings: { image: `${name}@tested`, domain: 'x' } },
            after: { profiles: [], settings: { image: `${to}@tested`, domain: 'x' } },
          },
          expect.objectContaining({ noun: 'profile', name: profile }),
        ]),
      )
      await giveProfile(profile, undefined)
      await giveNode(node, undefined)
      await giveNode(other, undefined)
    })

    it('is not renamed to a name that is taken or none, nor during a rollout', async () => {
      await add('one')
      await addVersion(db, editor, await versionOf(`${name}-taken`))
      for (const [to, code] of [
        [`${name}-taken`, 'IMAGE_EXISTS'],
        ['-', 'NAME_INVALID'],
        ['a@1', 'NAME_INVALID'],
      ])
        await expect(renameImage(db, editor, { from: name, to: to ?? '' })).rejects.toMatchObject({ code })
      expect((await renameImage(db, editor, { from: name, to: name })).changes).toEqual([])
      await rollOut('paused', 1)
      await expect(renameImage(db, editor, { from: name, to: 'free' })).rejects.toMatchObject({
        code: 'ROLLOUT_ACTIVE',
      })
      await endRollouts()
    })

    it('is copied: one version becomes version 1', async () => {
      await three()
      const source = await resolveImage(db, `${name}@2`)
      const to = `copy${count}`
      const { result, revision } = await copyImage(db, editor, { from: name, to, version: 2 })
      expect(result).toMatchObject({ name: to, current: 1, newest: 1, revision })
      expect(await listVersions(db, to)).toEqual([
        { ...source, image: to, number: 1, message: `copied from ${name}@2`, revision },
      ])
      await expect(copyImage(db, editor, { from: name, to })).rejects.toMatchObject({ code: 'IMAGE_EXISTS' })
      await copyImage(db, { ...editor, message: 'why' }, { from: name, to: `${to}-current` })
      expect(await resolveImage(db, `${to}-current`)).toMatchObject({ number: 1, source: 'three', message: 'why' })
    })

    it('is copied with its history', async () => {
      await three()
      await deleteVersion(db, editor, { image: name, version: 2 })
      await setTag(db, editor, { image: name, tag: 'tested', version: 1 })
      await setCurrent(db, editor, name, 1)
      const to = `copy${count}`
      await copyImage(db, editor, { from: name, to, history: true })
      expect(await getImage(db, to)).toMatchObject({ current: 1, newest: 3 })
      expect(await numbers(to)).toEqual([3, 1])
      expect((await tagsOf(db, [to])).get(to)).toEqual({ tested: 1 })
      await deleteImage(db, editor, name)
      expect((await resolveImage(db, `${to}@tested`)).source).toBe('one')
    })

    it('is as it was after every edit that is only tried', async () => {
      await three()
      await setTag(db, editor, { image: name, tag: 't', version: 1 })
      const before = [await currentRevision(db), await getImage(db, name), await numbers(), await listImages(db)]
      const tried = [
        await add('four', true, trial),
        await setCurrent(db, trial, name, 1),
        await setTag(db, trial, { image: name, tag: 'u', version: 1 }),
        await deleteTag(db, trial, { image: name, tag: 't' }),
        await deleteVersion(db, trial, { image: name, version: 2 }),
        await pruneVersions(db, trial, { image: name, keep: 1 }),
        await renameImage(db, trial, { from: name, to: 'other' }),
        await copyImage(db, trial, { from: name, to: 'other' }),
        await deleteImage(db, trial, name),
      ]
      expect(tried.filter(({ changes }) => changes.length === 0)).toEqual([])
      expect([await currentRevision(db), await getImage(db, name), await numbers(), await listImages(db)]).toEqual(
        before,
      )
    })
  })
})

describe('a reference', () => {
  const accepts = (image: string) => settingsSchema.safeParse({ image }).success

  it('is accepted by settings exactly when it can mean a version', () => {
    const character = fc.constantFrom(...'aZ09._-@: \u00fc')
    const version = fc.oneof(fc.string({ unit: character, maxLength: 12 }), fc.string({ maxLength: 20 }))
    fc.assert(
      fc.property(version, (text) => {
        expect(accepts(`rocky9@${text}`)).toBe(parseVersion(text) !== undefined)
      }),
    )
    expect(accepts(`rocky9@${'x'.repeat(128)}`)).toBe(true)
    expect(accepts(`${'x'.repeat(128)}@${'x'.repeat(129)}`)).toBe(false)
  })

  it('with a tag is never one with a number or a digest', () => {
    const character = fc.constantFrom(...'abf0123456789sha:._-')
    fc.assert(
      fc.property(fc.string({ unit: character, minLength: 1, maxLength: 8 }), (tag) => {
        fc.pre(tagSchema.safeParse(tag).success)
        expect(parseReference(`rocky9@${tag}`)).toEqual({ name: 'rocky9', version: { tag } })
      }),
    )
  })
})
