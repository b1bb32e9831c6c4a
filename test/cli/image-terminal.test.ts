import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { leftovers, makeTree, type ShellRig, shellRig } from './shell-rig.ts'

let rig: ShellRig
beforeAll(async () => {
  rig = await shellRig()
  await rig.importTree('box', await makeTree(join(rig.folder, 'box')))
}, 60_000)
afterAll(() => rig.close())
const running: ChildProcess[] = []
afterEach(() => {
  // Of a test that failed: the end of the terminal ends what runs at it.
  for (const child of running.splice(0)) child.kill()
})

/** `muster` at a terminal of its own, made by script(1). No argument has a character that means something to a shell. */
function terminal(...args: string[]) {
  const child = spawn(
    'script',
    ['--quiet', '--return', '--flush', '--command', `bin/muster ${args.join(' ')}`, '/dev/null'],
    {
      env: { ...rig.env, TERM: 'dumb', NO_COLOR: '1' },
      stdio: ['pipe', 'pipe', 'inherit'],
    },
  )
  running.push(child)
  let seen = ''
  let from = 0
  child.stdout.on('data', (chunk) => {
    seen += String(chunk)
  })
  return {
    /** Waits until it shows that, behind what was waited for before. */
    async sees(what: RegExp): Promise<void> {
      for (let tries = 0; ; tries++) {
        const found = what.exec(seen.slice(from))
        if (found) {
          from += found.index + found[0].length
          return
        }
        if (tries === 300) throw new Error(`no ${what} in ${JSON.stringify(seen.slice(from))}`)
        await new Promise((resolve) => setTimeout(resolve, 50))
      }
    },
    types: (text: string) => void child.stdin.write(text),
    async code(): Promise<number | null> {
      if (child.exitCode === null) await once(child, 'exit')
      child.stdin.end()
      return child.exitCode
    },
  }
}

const prompt = /\[box@1\] \/# /

describe('a shell at a terminal', () => {
  it('has job control, and asks before it makes a version', async () => {
    const at = terminal('image', 'shell', 'box', '--tmp', rig.tmp)
    await at.sees(prompt)
    at.types('tty; echo now; sleep 300\n')
    await at.sees(/\/dev\/console\r\nnow/)
    at.types('\x03')
    await at.sees(prompt)
    at.types('echo status=$?\n')
    await at.sees(/status=130\r/)
    at.types('echo later; sleep 300\n')
    await at.sees(/later\r/)
    at.types('\x1a')
    await at.sees(/Stopped/)
    at.types('fg\n')
    await at.sees(/fg\r\nsleep 300\r/)
    at.types('\x03')
    await at.sees(prompt)
    at.types('echo x >/etc/x; exit\n')
    await at.sees(/1 added, 0 changed, 0 removed/)
    await at.sees(/Make a new version of box\? \[y\/N\] /)
    at.types('y\n')
    await at.sees(/made box@2 from box@1/)
    expect(await at.code()).toBe(0)
    expect(await leftovers(rig)).toEqual([])
  })

  it('makes no version when the answer is no', async () => {
    const { newest } = await rig.call('GET', '/api/images/box')
    const at = terminal('image', 'shell', 'box@1', '--tmp', rig.tmp)
    await at.sees(prompt)
    at.types('echo y >/etc/y; exit\n')
    await at.sees(/\[y\/N\] /)
    at.types('n\n')
    await at.sees(/nothing was changed/)
    expect(await at.code()).toBe(1)
    expect(await rig.call('GET', '/api/images/box')).toMatchObject({ newest })
    expect(await leftovers(rig)).toEqual([])
  })
})

describe('a command at a terminal', () => {
  it('is ended by Ctrl-C, and goes on after Ctrl-Z', async () => {
    const at = terminal('image', 'exec', 'box@1', '--tmp', rig.tmp, '--', 'sh', '-c', '"echo up; sleep 300"')
    await at.sees(/up\r/)
    at.types('\x1a')
    await at.sees(/Stopped/)
    at.types('\x03')
    await at.sees(/ended with exit status 130: nothing is kept/)
    expect(await at.code()).toBe(130)
    expect(await leftovers(rig)).toEqual([])
  })
})
