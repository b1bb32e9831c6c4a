import { execFileSync, spawnSync } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { TestApp } from '../harness.ts'
import { cluster } from './cast.ts'
import { emptyDirectory, muster } from './muster.ts'

let app: TestApp
let script: string
let bin: string
beforeAll(async () => {
  app = await cluster()
  script = (await muster(app, ['completion', 'bash'])).out
  bin = await emptyDirectory()
  const names: Record<string, string> = {}
  for (const noun of ['node', 'profile', 'image', 'overlay']) {
    names[noun] = (await muster(app, ['__complete', noun])).out.trim().replaceAll('\n', ' ')
  }
  await app.call('PUT', '/api/images/rocky9/tags/tested', { body: { version: 1 } })
  names.version = (await muster(app, ['__complete', 'version', 'rocky9'])).out.trim().replaceAll('\n', ' ')
  // What the script would ask the real one; the names are what the real one answers.
  const cases = Object.entries(names).map(([noun, list]) => `  ${noun}) printf '%s\\n' ${list} ;;`)
  await writeFile(join(bin, 'muster'), `#!/bin/sh\ncase $2 in\n${cases.join('\n')}\nesac\n`, { mode: 0o755 })
})
afterAll(() => app.close())

/** What bash offers for the last of the words. */
function offered(...words: string[]): string[] {
  const ask = `${script}\nCOMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _muster; printf '%s\\n' "\${COMPREPLY[@]}"`
  const out = execFileSync('bash', ['-c', ask, 'bash', 'muster', ...words], {
    encoding: 'utf8',
    env: { ...process.env, PATH: `${bin}:${process.env.PATH}` },
  })
  return out.split('\n').filter((line) => line !== '')
}

describe('bash completion', () => {
  it.each([
    ['nouns', ['no'], ['node']],
    ['verbs', ['node', 's'], ['show', 'set']],
    ['verbs with a dash', ['image', 'set-'], ['set-current']],
    ['flags', ['node', 'set', 'n1', '--kernel'], ['--kernel-version', '--kernel-args']],
    ['names of nodes', ['node', 'show', 'n'], ['n001', 'n002', 'n003']],
    ['nodes of boot', ['boot', 'log', 'g'], ['gpu1']],
    ['names of profiles', ['profile', 'users', ''], ['default', 'gpu']],
    ['profiles after --profile', ['node', 'set', 'n001', '--profile', 'g'], ['gpu']],
    ['images after --image', ['profile', 'set', 'gpu', '--image', ''], ['rocky9']],
    ['versions of an image', ['image', 'show', 'rocky9', '@'], ['@2', '@1', '@tested']],
    ['versions as they are typed', ['image', 'set-current', 'rocky9', '@', 't'], ['@tested']],
    ['versions after --image', ['node', 'set', 'n001', '--image', 'rocky9', '@', '2'], ['@2']],
    ['overlays', ['overlay', 'pull', 'gre'], ['greeting']],
    ['shells', ['completion', 'z'], ['zsh']],
  ])('knows %s', (_name, words, expected) => {
    expect(offered(...words)).toEqual(expected)
  })

  it('is asked for names that could be a command, and does not pass them on', async () => {
    const items = ['fine', '$(touch /tmp/owned)', '`id`', 'a b', 'x;y'].map((name) => ({ name }))
    const { out } = await muster(app, ['__complete', 'node'], { fetch: () => Response.json({ items, next: null }) })
    expect(out).toBe('fine\n')
  })

  it('offers nothing, and says nothing, when the service does not answer', () => {
    const silent = spawnSync('bash', ['-c', `${script}\nCOMP_WORDS=(muster node show n); COMP_CWORD=3; _muster`], {
      encoding: 'utf8',
      env: { ...process.env, PATH: '/usr/bin:/bin' },
    })
    expect([silent.status === 127, silent.stderr]).toEqual([false, ''])
  })
})

describe('zsh completion', () => {
  const zsh = spawnSync('zsh', ['--version']).status === 0

  it.skipIf(!zsh)('is zsh (not asked where there is no zsh)', async () => {
    const { out } = await muster(app, ['completion', 'zsh'])
    execFileSync('zsh', ['-n'], { input: out })
  })

  it('has every noun and verb of the bash script', async () => {
    const table = (text: string) => text.split('\n').filter((line) => /^ {4}'.*;;$/.test(line))
    expect(table((await muster(app, ['completion', 'zsh'])).out)).toEqual(table(script))
    expect(table(script).length).toBeGreaterThan(40)
  })
})
