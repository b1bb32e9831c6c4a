import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { changeNodes } from '../../src/registry/nodes.ts'
import { overlayUseCounts, overlayUsers } from '../../src/registry/overlays.ts'
import { changeProfile } from '../../src/registry/profiles.ts'
import type { Settings } from '../../src/registry/settings.ts'
import { type Databases, eachDatabase } from '../databases.ts'

const editor = { author: 'tester', at: new Date(5) }

describe.each(eachDatabase)('users of overlays on %s', (_name, open) => {
  let databases: Databases
  beforeAll(async () => {
    databases = await open()
    const { registry } = databases
    const profile = (name: string, settings: Settings) =>
      changeProfile(registry, editor, name, () => ({ profiles: [], settings }))
    await profile('both', { overlays: { system: ['a', 'b'], runtime: ['a'] } })
    await profile('out', { overlays: { system: ['~a'] } })
    await profile('cleared', { overlays: { system: null } })
    await profile('none', { tags: { a: 'a' } })
    await changeNodes(
      registry,
      editor,
      async () => ['n2', 'n1', 'n3'],
      (name) => ({ profiles: ['both'], settings: name === 'n3' ? {} : { overlays: { runtime: ['a'] } } }),
    )
  })
  afterAll(() => databases.close())

  it('are those who list it themselves, by name', async () => {
    expect(await overlayUsers(databases.registry, 'a', 10)).toEqual({ profiles: ['both'], nodes: ['n1', 'n2'] })
    expect(await overlayUsers(databases.registry, 'a', 1)).toEqual({ profiles: ['both'], nodes: ['n1'] })
    expect(await overlayUsers(databases.registry, 'b', 10)).toEqual({ profiles: ['both'], nodes: [] })
    expect(await overlayUsers(databases.registry, 'c', 10)).toEqual({ profiles: [], nodes: [] })
  })

  it('are counted once, whichever of their lists has it', async () => {
    const counts = await overlayUseCounts(databases.registry)
    expect(counts.get('a')).toEqual({ profiles: 1, nodes: 2 })
    expect(counts.get('b')).toEqual({ profiles: 1, nodes: 0 })
    expect(counts.has('c')).toBe(false)
  })
})
