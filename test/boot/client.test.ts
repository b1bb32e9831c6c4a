/** Two machines that are up: a Debian whose client systemd runs, and a busybox whose client is a loop. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { type Guest, startGuest } from './guest.ts'
import { attemptWith, type Head, startHead } from './head.ts'
import { bridgeAddress, createNetwork, type Network } from './network.ts'
import { bootfile, headWith, kernelArgs, skipReason } from './scene.ts'

const macs = { d001: '52:54:00:07:00:01', b001: '52:54:00:07:00:02' }

/** An overlay as its files. */
type Files = Record<string, string>

/** A shell on the serial line of a node that has systemd, in the place of its login. */
const shell: Files = {
  'overlay.yaml': `files:
  /etc/systemd/system/multi-user.target.wants/serial-shell.service: { link: ../serial-shell.service }
  /etc/systemd/system/serial-getty@ttyS0.service: { link: /dev/null }
`,
  'files/etc/systemd/system/serial-shell.service': `[Unit]
After=multi-user.target
[Service]
ExecStart=/bin/sh
Restart=always
StandardInput=tty-force
StandardOutput=tty
StandardError=tty
TTYPath=/dev/ttyS0
`,
}

const secret = 'correct horse battery staple'
const key: Files = { 'files/etc/site/key.mustache': '{{secrets.site_key}}\n' }

/** Files that say something of their node; a change of the colour is counted. */
const site = (version: string): Files => ({
  'overlay.yaml': `files:
  /etc/site/colour: { reload: [/usr/local/sbin/count, colour] }
  /etc/site/version: { reload: [/usr/local/sbin/count, version] }
`,
  'files/usr/local/sbin/count': '#!/bin/sh\necho "$1" >>/run/counted\n',
  'files/etc/site/colour.mustache': '{{node.name}} is {{#tags.colour}}{{tags.colour}}{{/tags.colour}}\n',
  'files/etc/site/version': `${version}\n`,
})

describe.skipIf(skipReason !== '')(`nodes whose files change while they are up ${skipReason}`, () => {
  let network: Network
  let head: Head
  let debian: Guest
  let busybox: Guest
  const folder = mkdtempSync(join(tmpdir(), 'muster-overlays-'))

  /** Pushes an overlay that has these files. */
  const push = async (name: string, files: Files) => {
    const directory = join(folder, name)
    rmSync(directory, { recursive: true, force: true })
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(dirname(join(directory, path)), { recursive: true })
      writeFileSync(join(directory, path), text, { mode: text.startsWith('#!') ? 0o755 : 0o644 })
    }
    await head.muster('overlay', 'push', directory)
  }

  /** What a command prints on a node. */
  const on = async (guest: Guest, command: string) => (await guest.run(command)).output.trim()

  /** Runs a command on a node until it prints this. */
  const until = async (guest: Guest, command: string, wanted: string, seconds = 60) => {
    const deadline = performance.now() + seconds * 1000
    for (let said = await on(guest, command); said !== wanted; said = await on(guest, command)) {
      if (performance.now() > deadline)
        throw new Error(`${command} still says ${said} and not ${wanted}:\n${await on(guest, 'muster-client log')}`)
      await new Promise((resolve) => setTimeout(resolve, 1000))
    }
  }

  const boot = (mac: string, device: string, memory: number) =>
    startGuest({ mac, firmware: 'bios', memory, network: { kind: 'tap', device, rom: true } }, network.prefix)

  beforeAll(async () => {
    network = await createNetwork()
    const place = { listen: bridgeAddress, reach: bridgeAddress, port: 9080, prefix: network.prefix }
    head = await headWith('busybox', () => startHead(place))
    await head.muster('image', 'import', `docker-archive:${inject('debianImage')}`, 'debian')
    network.dnsmasq(folder, [
      `--dhcp-boot=${bootfile(head)}`,
      `--dhcp-host=${macs.d001},10.77.0.61`,
      `--dhcp-host=${macs.b001},10.77.0.62`,
    ])
    await push('shell', shell)
    await push('site', site('1'))
    await push('key', key)
    writeFileSync(join(folder, 'secret'), secret)
    await head.muster('secret', 'set', 'site_key', '--file', join(folder, 'secret'))
    await head.muster(
      ...['profile', 'set', 'all', '--kernel-args', kernelArgs, '--set', 'runtimeInterval=10'],
      ...['--system-overlays', 'base,client,hostname,systemd-networkd,shell', '--runtime-overlays', 'hosts,site'],
    )
    await head.muster('node', 'add', 'd001', '--profile', 'all', '--mac', macs.d001, '--image', 'debian')
    await head.muster('node', 'set', 'd001', '--address', '10.77.0.61/24', '--root', 'tmpfs')
    await head.muster('node', 'set', 'd001', '--system-overlays', 'key')
    await head.muster('node', 'add', 'b001', '--profile', 'all', '--mac', macs.b001, '--image', 'busybox')
    await head.muster('node', 'set', 'b001', '--address', '10.77.0.62/24')
    debian = boot(macs.d001, 'tap0', 1024)
    busybox = boot(macs.b001, 'tap1', 256)
    await busybox.says(/MARK busybox hostname=b001/, 180)
    busybox.type('\n')
    await debian.says(/MARK debian .*/, 240)
  }, 400_000)
  afterAll(async () => {
    network?.stop()
    await debian?.stop()
    await busybox?.stop()
    await head?.stop()
    rmSync(folder, { recursive: true, force: true })
  })

  it('have the files that are theirs alone from the first moment, though no machine can fetch them by its MAC', async () => {
    expect(await on(debian, 'cat /etc/site/key; stat -c "%a %U" /etc/site/key')).toBe(`${secret}\n600 root`)
    const { events } = await attemptWith(head, 'd001', 'ready', 90)
    expect(events.filter(({ kind }) => kind === 'failed')).toEqual([])
    expect(JSON.stringify(events)).not.toContain(secret)
  })

  it('get what changed for them within the interval; others are told that nothing has', async () => {
    await until(busybox, 'muster-client status | grep -c "checked [0-9]"', '1')
    const listBefore = await on(busybox, 'sha256sum /muster/overlays/runtime')
    await head.muster('node', 'set', 'd001', '--tag', 'colour=red')
    await until(debian, 'cat /etc/site/colour', 'd001 is red')
    await until(debian, 'cat /run/counted', 'colour')
    expect(await on(debian, 'stat -c "%a %U:%G" /etc/site/colour')).toBe('644 root:root')
    // Longer than the interval, so that it has asked since.
    await until(busybox, `muster-client status | grep -c "checked [0-5] s ago"`, '1')
    expect(await on(busybox, 'sha256sum /muster/overlays/runtime; cat /etc/site/colour')).toBe(`${listBefore}\nb001 is`)
    expect(await on(busybox, 'muster-client log | grep -c changed')).toBe('0')
  })

  it('are told apart by what they run and what they would get', async () => {
    const states = async () =>
      (JSON.parse(await head.muster('--json', 'node', 'drift')) as { items: { state: string }[] }).items
    await until(debian, 'muster-client status | grep -c "ready *told"', '1')
    await until(busybox, 'muster-client status | grep -c "ready *told"', '1')
    expect((await states()).map(({ state }) => state)).toEqual(['same', 'same'])
    await head.muster('profile', 'set', 'all', '--kernel-args', `${kernelArgs} debug`)
    expect((await states()).map(({ state }) => state)).toEqual(['reboot needed', 'reboot needed'])
    await head.muster('profile', 'set', 'all', '--kernel-args', kernelArgs)
  })

  it('lose a file that has left its overlay', async () => {
    const { 'files/etc/site/version': _gone, ...rest } = site('1')
    await push('site', { ...rest, 'overlay.yaml': '' })
    for (const guest of [debian, busybox]) await until(guest, 'ls /etc/site/version 2>&1 | grep -c No', '1')
    expect(await on(busybox, 'cat /etc/site/colour')).toBe('b001 is')
  })

  it('repair themselves after their client was killed, whatever it was doing', async () => {
    await debian.run('systemctl stop muster-client.timer muster-client.service')
    let step = 0
    for (let status = 137; status === 137; step++) {
      await push('site', site(`version ${step}`))
      await debian.run(': >/run/counted')
      status = (await debian.run(`MUSTER_CLIENT_STOP_AFTER=${step + 1} muster-client run`)).status
      await debian.run('muster-client run')
      const left = 'find /etc /run/muster/client -name "*muster~" -o -name todo -o -name staged'
      expect(await on(debian, `cat /etc/site/version; sort -u /run/counted; ${left}`), `step ${step + 1}`).toBe(
        `version ${step}\nversion`,
      )
    }
    // It was killed at every step, and the last time there were no more.
    expect(step).toBeGreaterThan(5)
    await debian.run('systemctl start muster-client.timer')
  })

  it('go on when the head node was away', async () => {
    await head.kill()
    const { status, output } = await debian.run('muster-client apply')
    expect(status, output).not.toBe(0)
    expect(await on(debian, 'cat /etc/site/colour')).toBe('d001 is red')
    await head.start()
    await head.muster('node', 'set', 'd001', '--tag', 'colour=blue')
    await until(debian, 'cat /etc/site/colour', 'd001 is blue', 120)
  })
})
