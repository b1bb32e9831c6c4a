import { chmodSync, cpSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { asProcessOne, commandFolder, type Ended, overlayFiles, type Place, place, run, shells } from './shells.ts'

const processOne = asProcessOne()

type Event = { kind: string; detail: Record<string, unknown> }

const token = `muster_agent_${'0123456789abcdef'.repeat(4)}`

const clientCommands = ['chown', 'cmp', 'cp', 'date', 'ln', 'rmdir', 'sort', 'tar', 'uniq', 'xargs']

let events: Event[]
let tokens: unknown[]
let server: Server
let at: Place
beforeEach(async () => {
  events = []
  tokens = []
  server = createServer((request, response) => {
    let body = ''
    request.on('data', (bytes: Buffer) => {
      body += bytes.toString()
    })
    request.on('end', () => {
      if (request.url === '/self/token')
        return void response.writeHead(201, { 'content-length': '78' }).end(`${token}\n`)
      if (request.url !== '/self/events') return void response.writeHead(404).end()
      events.push(JSON.parse(body))
      tokens.push(request.headers.authorization)
      response.writeHead(204).end()
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  at = place('')
  configure({ init: program('sbin/init', 'echo "INIT $$ $*"') })
})
afterEach(() => {
  at.remove()
  server.close()
})

function configure(settings: Record<string, string>): void {
  const { port } = server.address() as AddressInfo
  const all = { head: `http://127.0.0.1:${port}`, root: 'initramfs', onFailure: 'retry', ...settings }
  const lines = Object.entries(all).map(([key, value]) => `${key}=${value}\n`)
  writeFileSync(join(at.muster, 'config'), lines.join(''))
}

/** An executable script in the place; answers its path. */
function program(path: string, ...lines: string[]): string {
  const full = join(at.folder, path)
  mkdirSync(join(full, '..'), { recursive: true })
  writeFileSync(full, ['#!/bin/sh', ...lines, ''].join('\n'))
  chmodSync(full, 0o755)
  return full
}

const script = (name: string, ...lines: string[]): string => program(`muster/init.d/${name}`, ...lines)

/** Runs /muster/finish as process 1, with the pauses of failures cut short. */
function finish(shell: string[], limit = 80_000, ...args: string[]): Promise<Ended> {
  const commands = commandFolder(at, ['curl', 'setfattr', 'mount', ...clientCommands])
  const env = {
    PATH: `${join(at.folder, 'quick')}:${commands}`,
    MUSTER: at.muster,
    MUSTER_RUN: at.run,
    MUSTER_ROOT: at.folder,
  }
  return run([...(processOne ?? []), ...shell, `${at.muster}/finish`, ...args], env, limit)
}

const lines = (ended: Ended): string[] => ended.output.split('\n').filter((line) => line !== '')

const reason = processOne === undefined ? ' (skipped: this machine bars user namespaces)' : ''

describe.skipIf(reason !== '').each(shells)(`finish as process 1 under %s${reason}`, (name, shell) => {
  it('hands over to the configured init, as process 1 and with the arguments of the kernel', async () => {
    const ended = await finish(shell, undefined, 'single', 'two words')
    expect(lines(ended).at(-1)).toBe('INIT 1 single two words')
    expect(events[0]).toMatchObject({ kind: 'stage', detail: { step: 'init', init: join(at.folder, 'sbin/init') } })
  })

  it('tells that the node is ready once another program is process 1', async () => {
    configure({ init: program('sbin/init', 'sleep 5', 'echo INIT') })
    await finish(shell)
    expect(events.map(({ kind }) => kind)).toEqual(['stage', 'ready'])
    expect(existsSync(join(at.run, 'ticket'))).toBe(false)
  })

  it('exchanges the ticket for a token, and reports with that', async () => {
    await finish(shell)
    expect(readFileSync(join(at.run, 'token'), 'utf8')).toBe(`${token}\n`)
    expect(statSync(join(at.run, 'token')).mode & 0o777).toBe(0o600)
    expect(tokens).toEqual([`Bearer ${token}`])
  })

  it('takes away what overlays remove, but nothing that the runtime overlays have', async () => {
    for (const path of ['etc/gone/deep', 'etc/kept', 'etc/file']) program(path)
    mkdirSync(join(at.muster, 'overlays'))
    const removals = ['/etc/gone', '/etc/kept', '/etc/file', '/muster/config', '/etc/../sbin'].map(
      (path) => `r - - - - - ${path}\n`,
    )
    writeFileSync(join(at.muster, 'overlays/system'), `muster-overlay 1\n${removals.join('')}`)
    writeFileSync(join(at.muster, 'overlays/runtime'), 'muster-overlay 1\nf 0644 0 0 x - /etc/kept\n')
    const ended = await finish(shell)
    expect(['gone', 'kept', 'file'].filter((name) => existsSync(join(at.folder, 'etc', name)))).toEqual(['kept'])
    expect(ended.output).toContain('/muster/config is not taken away')
    expect(lines(ended).at(-1)).toBe('INIT 1 ')
  })

  it('says and reports that nothing is there to fetch private files with', async () => {
    configure({ private: 'yes', init: program('sbin/init', 'echo INIT') })
    const ended = await finish(shell)
    expect(ended.output).toContain('add the overlay client')
    expect(events[0]).toMatchObject({ kind: 'failed', detail: { message: expect.stringContaining('private files') } })
    expect(lines(ended).at(-1)).toBe('INIT')
  })

  it('lets the client tell that the node is ready, where there is one', async () => {
    cpSync(join(overlayFiles, '../../client/files'), at.folder, { recursive: true })
    configure({ init: program('sbin/init', 'sleep 6', 'echo INIT') })
    await finish(shell)
    expect(events.map(({ kind }) => kind)).toContain('ready')
    expect(events.filter(({ kind }) => kind === 'ready')).toHaveLength(1)
  })

  it('leaves the ready report to the unit where init is systemd', async () => {
    configure({ init: program('lib/systemd', 'sleep 3', 'echo SYSTEMD') })
    expect(lines(await finish(shell)).at(-1)).toBe('SYSTEMD')
    expect(events.map(({ kind }) => kind)).toEqual(['stage'])
  })

  it('runs the scripts in order, each by its own interpreter and with nothing to read', async () => {
    script('20-second', 'echo second')
    script('10-first', 'echo "first $(cat)"')
    writeFileSync(script('30-awk'), `#!${process.execPath}\nconsole.log('node', ${"'third'"})\n`)
    writeFileSync(join(at.muster, 'init.d/40-text'), 'echo never\n')
    const said = lines(await finish(shell)).filter((line) => !line.startsWith('muster:'))
    expect(said).toEqual(['first ', 'second', 'node third', 'INIT 1 '])
  })

  it('says and reports a script that fails, and goes on', async () => {
    script('10-broken', 'exit 7')
    script('20-next', 'echo next')
    const ended = await finish(shell)
    expect(ended.output).toContain(`failed: ${at.muster}/init.d/10-broken ended with status 7`)
    expect(lines(ended)).toContain('next')
    expect(lines(ended).at(-1)).toBe('INIT 1 ')
    expect(events[0]).toMatchObject({ kind: 'failed', detail: { message: expect.stringContaining('status 7') } })
  })

  // busybox runs its own sleep whatever PATH says, so there the pause of 15 to 45 seconds is real.
  it('does not go on until a .must script has succeeded', { timeout: 90_000 }, async () => {
    program('quick/sleep', `echo "slept $1" >>"${at.folder}/sleeps"`)
    script('10-disk.must', `echo tried >>"${at.folder}/tries"`, `[ "$(wc -l <"${at.folder}/tries")" -ge 2 ]`)
    script('20-next', `wc -l <"${at.folder}/tries"`)
    const ended = await finish(shell)
    expect(lines(ended).slice(-4)).toEqual([
      'muster: init.d: 20-next',
      '2',
      expect.stringContaining('handing over'),
      'INIT 1 ',
    ])
    expect(ended.output).toMatch(/trying again in (1[5-9]|[23]\d|4[0-5]) s/)
    if (!name.startsWith('busybox')) expect(readFileSync(`${at.folder}/sleeps`, 'utf8')).toMatch(/^slept \d+\n/)
  })

  // busybox takes a program that the kernel refuses for a script, before anything can be done about it.
  it.skipIf(name.startsWith('busybox'))('never ends when init cannot be executed after all', async () => {
    program('quick/sleep', '[ "$1" -lt 60 ] || /bin/sleep "$1"')
    program('quick/reboot', 'echo "REBOOT $*"')
    const broken = program('sbin/init')
    writeFileSync(broken, '\x7fELF and no program')
    configure({ init: broken })
    const ended = await finish(shell, 5_000)
    // bash survives such an exec and does as the node's setting says; dash ends, so that only a reboot is left.
    const way =
      name === 'bash' ? /sbin\/init cannot be executed[\s\S]*trying again in/ : /process 1 ended[\s\S]*REBOOT -f/
    expect(ended.output).toMatch(way)
    expect(ended.status).toBe(null)
    // bash is at its next try, or at the one after, when it is stopped.
    expect(events.map(({ kind }) => kind)).toContain('failed')
  })

  it('waits for a head node that is down once, not at every step', async () => {
    configure({ head: 'http://127.0.0.1:9', init: program('sbin/init', 'echo INIT') })
    script('10-broken', 'exit 1')
    const ended = await finish(shell)
    expect(ended.output.match(/no answer from/g)).toHaveLength(1)
    expect(lines(ended).at(-1)).toBe('INIT')
  })

  it('names the package when attributes cannot be restored', async () => {
    writeFileSync(
      join(at.muster, 'xattrs'),
      '# file: usr/bin/ping\nsecurity.capability=0sAQAAAgAgAAAAAAAAAAAAAAAAAAA=\n',
    )
    const ended = await finish(shell)
    expect(ended.output).toMatch(/warning: .*(package attr|were not restored)/)
    expect(lines(ended).at(-1)).toBe('INIT 1 ')
  })
})
