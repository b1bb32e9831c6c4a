import { spawnSync } from 'node:child_process'
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { bootAssets } from '../fixtures.ts'
import { commandLine, shellNames } from './shells.ts'

const script = join(bootAssets, 'overlays/mig/files/usr/sbin/muster-mig')

describe.each(shellNames)('the script that divides GPUs under %s', (shell) => {
  let folder: string
  const at = (...parts: string[]) => join(folder, ...parts)
  const read = (name: string) => readFileSync(at('state', name), 'utf8').trimEnd()
  const put = (name: string, text: string) => writeFileSync(at('state', name), text)
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'muster-mig-'))
    for (const name of ['bin', 'state']) mkdirSync(at(name))
    for (const name of ['sh', 'sed', 'tail', 'tr', 'cut', 'sort', 'cat', 'rm'])
      symlinkSync(commandLine(name)[0] ?? '', at('bin', name))
    copyFileSync(join(import.meta.dirname, 'nvidia-smi.sh'), at('bin/nvidia-smi'))
    for (const gpu of [0, 1]) {
      put(`${gpu}.mode`, 'Disabled\n')
      put(`${gpu}.instances`, '')
    }
  })
  afterEach(() => rmSync(folder, { recursive: true }))

  const run = (plan: string | undefined) => {
    rmSync(at('state/argv'), { force: true })
    if (plan !== undefined) writeFileSync(at('plan'), `# GPU PROFILES\n${plan}`)
    const [command = '', ...args] = commandLine(shell)
    const { status, stdout, stderr } = spawnSync(command, [...args, script], {
      env: { PATH: at('bin'), MUSTER_MIG: at('plan'), GPU_STATE: at('state') },
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    expect(existsSync(at('state/unexpected')) ? read('unexpected') : '').toBe('')
    const calls = existsSync(at('state/argv')) ? read('argv').split('\n') : []
    return { status, stdout, stderr, changes: calls.filter((call) => /-mig 1|-cgi|-d[cg]i/.test(call)) }
  }

  it('divides each GPU as its line says, and then leaves it alone', () => {
    const plan = '0 9,9\n1 3g.40gb,1g.10gb/1c.1g.10gb\n'
    expect(run(plan)).toEqual({
      status: 0,
      stdout: 'muster-mig: GPU 0 was divided into 9,9\nmuster-mig: GPU 1 was divided into 3g.40gb,1g.10gb/1c.1g.10gb\n',
      stderr: '',
      changes: ['-i 0 -mig 1', 'mig -cgi 9,9 -C -i 0', '-i 1 -mig 1', 'mig -cgi 3g.40gb,1g.10gb/1c.1g.10gb -C -i 1'],
    })
    expect(read('0.instances')).toBe('3g.40gb 9\n3g.40gb 9')
    expect(run(plan)).toMatchObject({ status: 0, stderr: '', changes: [] })
  })

  it('divides all GPUs alike when no number is given', () => {
    expect(run('all 19\n').status).toBe(0)
    expect([read('0.instances'), read('1.instances')]).toEqual(['1g.10gb 19', '1g.10gb 19'])
  })

  it('divides a GPU anew that is divided otherwise, and leaves the others', () => {
    run('all 9,9\n')
    expect(run('0 19\n1 9,9\n').changes).toEqual(['mig -dci -i 0', 'mig -dgi -i 0', 'mig -cgi 19 -C -i 0'])
    expect([read('0.instances'), read('1.instances')]).toEqual(['1g.10gb 19', '3g.40gb 9\n3g.40gb 9'])
  })

  it('leaves a GPU as it is that jobs use, says so, and does the others', () => {
    run('all 9,9\n')
    put('0.busy', '')
    expect(run('all 19\n')).toMatchObject({
      status: 1,
      stdout: 'muster-mig: GPU 1 was divided into 19\n',
      stderr: 'muster-mig: GPU 0 stays divided as it is: Failed to destroy GPU instances: In use by another client\n',
    })
    expect(read('0.instances')).toBe('3g.40gb 9\n3g.40gb 9')
  })

  it.each<[string, string, () => void, string]>([
    [
      'a GPU does not enter MIG mode',
      '0 9\n',
      () => put('0.busy', ''),
      'GPU 0 does not enter MIG mode (is somebody using it?): Warning: MIG mode is in pending enable state for GPU 00000000:07:00.0: In use by another client',
    ],
    ['a GPU knows nothing of it', '0 9\n', () => put('0.mode', '[N/A]\n'), 'GPU 0 cannot be divided: it says [N/A]'],
    ['there is no such GPU', '5 9\n', () => {}, 'GPU 5 cannot be divided: it says No devices were found'],
    [
      'there is no such profile',
      '0 9,77\n',
      () => {},
      'GPU 0 cannot be divided into 9,77: Invalid profile ID/name or alias: 77',
    ],
    [
      'there is no driver',
      '0 9\n',
      () => rmSync(at('bin/nvidia-smi')),
      'the image has no nvidia-smi, which comes with the driver: GPUs stay as they are',
    ],
  ])('fails and says so when %s', (_what, plan, spoil, message) => {
    spoil()
    expect(run(plan)).toMatchObject({ status: 1, stdout: '', stderr: `muster-mig: ${message}\n` })
  })

  it('fails and says so when its plan is missing', () => {
    expect(run(undefined)).toMatchObject({
      status: 1,
      stderr: `muster-mig: ${at('plan')} is missing: the overlay mig came in parts\n`,
    })
  })
})
