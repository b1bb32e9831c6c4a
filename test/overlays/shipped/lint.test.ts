import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { lintDirectory } from '../../../src/overlays/lint.ts'
import { bootAssets, shippedFiles } from '../fixtures.ts'

describe('every shipped overlay', () => {
  it.each(readdirSync(join(bootAssets, 'overlays')))('%s has nothing that lint would say', async (name) => {
    const { findings, parsed } = await lintDirectory(name, shippedFiles(name))
    expect(findings).toEqual([])
    expect(parsed?.manifest.description).toMatch(/^\S.*\S$/)
  })
})
