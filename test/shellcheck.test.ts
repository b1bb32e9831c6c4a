import { execFileSync, spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'

const root = join(import.meta.dirname, '..')

/** What runs under the machine's or a node's /bin/sh: named .sh, or begun with its shebang. */
function shellScripts(): string[] {
  const listed = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], {
    cwd: root,
    encoding: 'utf8',
  })
  return listed.split('\0').filter((path) => path !== '' && isShell(path))
}

function isShell(path: string): boolean {
  if (path.endsWith('.sh')) return true
  try {
    return readFileSync(join(root, path), 'utf8').startsWith('#!/bin/sh\n')
  } catch {
    // Listed and gone, or a link to a folder.
    return false
  }
}

/** Installs it where that needs nobody's leave; says why not otherwise. */
function missing(): string | undefined {
  const works = () => spawnSync('shellcheck', ['--version']).status === 0
  if (works()) return undefined
  if (process.getuid?.() === 0) spawnSync('apt-get', ['install', '-y', '--no-install-recommends', 'shellcheck'])
  return works() ? undefined : 'shellcheck is not installed, and apt-get could not install it'
}

const reason = missing()

describe.skipIf(reason !== undefined)(`shellcheck ${reason ? `(skipped: ${reason})` : ''}`, () => {
  it.each(shellScripts())('finds nothing in %s', (path) => {
    const { stdout, status } = spawnSync('shellcheck', ['-s', 'sh', path], { cwd: root, encoding: 'utf8' })
    expect(stdout).toBe('')
    expect(status).toBe(0)
  })

  it('looks at the scripts that matter', () => {
    expect(shellScripts()).toEqual(
      expect.arrayContaining([
        'bin/muster',
        'boot-assets/overlays/base/files/init',
        'boot-assets/overlays/base/files/muster/report',
        'boot-assets/overlays/base/files/muster/lib/root.sh',
      ]),
    )
  })
})
