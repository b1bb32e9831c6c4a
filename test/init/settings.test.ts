import { execFileSync } from 'node:child_process'
import { readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { missingShells, type Place, place, shells } from './shells.ts'

/** Values that a shell would run, split, expand or lose if it were let near them. */
const hostile: Record<string, string> = {
  'a command': '$(touch owned)',
  'another command': '`touch owned`',
  'an end of line': 'n1; touch owned',
  'a pipe': 'n1 | touch owned && touch owned',
  'single quotes': `it's 'n1'`,
  'double quotes': '"n1" "',
  'spaces at both ends': '  n 1  ',
  'an equals sign': 'a=b=c',
  'a backslash': String.raw`n\1\n\\`,
  'a pattern': '* ? [a-z] ~',
  'an option': '-n -e',
  'a variable': '${PATH} $HOME',
}

describe.each(shells)('settings under %s', (_name, shell) => {
  let at: Place
  beforeEach(() => {
    at = place('')
  })
  afterEach(() => at.remove())

  const ask = (text: string, env: Record<string, string> = {}) =>
    execFileSync(shell[0]!, [...shell.slice(1), '-c', `. "$MUSTER/lib/settings.sh"; ${text}`], {
      cwd: at.folder,
      env: { PATH: process.env.PATH!, MUSTER: at.muster, ...env },
      encoding: 'utf8',
      // bash takes a socket for a remote shell and reads ~/.bashrc.
      stdio: ['ignore', 'pipe', 'pipe'],
    })

  it.each(Object.entries(hostile))('gives %s back as it stands', (_label, value) => {
    const before = readdirSync(at.folder)
    writeFileSync(join(at.muster, 'config'), `head=http://x\nnode=${value}\nnodes=other\n`)
    expect(ask('setting node')).toBe(`${value}\n`)
    expect(readdirSync(at.folder)).toEqual(before)
  })

  it('knows nothing of what the file does not say', () => {
    writeFileSync(join(at.muster, 'config'), '# node=a comment\nnodename=n1\n node=n2\n')
    expect(ask('setting node')).toBe('')
  })

  it('takes the first of two lines and a last line without its end', () => {
    writeFileSync(join(at.muster, 'config'), 'node=first\nnode=second\nroot=tmpfs')
    expect(ask('setting node; setting root')).toBe('first\ntmpfs\n')
  })

  it('reads kernel arguments without expanding them', () => {
    const cmdline = join(at.folder, 'cmdline')
    writeFileSync(cmdline, 'quiet muster.mac=* other.muster.mac=no muster.address=10.0.0.1/24 x="a b"\n')
    const answer = ask('kernel_argument muster.mac; kernel_argument muster.address; kernel_argument absent', {
      MUSTER_CMDLINE: cmdline,
    })
    expect(answer).toBe('*\n10.0.0.1/24\n')
  })
})

if (missingShells.length > 0)
  it.skip(`settings under ${missingShells.join(', ')}: this machine has no such shell`, () => {})
