/** One machine: QEMU without KVM, its serial line kept, its end certain. */
import { type ChildProcess, spawn } from 'node:child_process'
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** What the machine is. */
export type Machine = {
  mac: string
  firmware: 'bios' | 'uefi'
  /** MiB. */
  memory: number
  /** QEMU's own network with iPXE in the card's ROM, or a tap device with or without that ROM. */
  network: { kind: 'user'; bootfile: string } | { kind: 'tap'; device: string; rom: boolean }
}

/** A machine that runs. */
export type Guest = {
  /** What it has printed, without colours and cursor movements. */
  serial(): string
  /** Waits for a line. Throws, with the end of what was printed, after so many seconds or when the machine stops. */
  says(pattern: RegExp, seconds: number): Promise<RegExpExecArray>
  /** Types a command into the shell on the serial line; answers what it printed, and its status. Throws as `says` does. */
  run(command: string, seconds?: number): Promise<{ output: string; status: number }>
  /** Types as it is. */
  type(text: string): void
  /** Ends it and removes its files. */
  stop(): Promise<void>
}

/**
 * The command line of QEMU. Always `tcg`: a `/dev/kvm` that exists need not work. `+rdrand` for entropy; `graphics=off`
 * puts the firmware and iPXE on the serial line as well.
 */
export function qemuArguments(machine: Machine, folder: string): string[] {
  const uefi = machine.firmware === 'uefi'
  const pflash = (unit: number, options: string) => ['-drive', `if=pflash,unit=${unit},format=raw,${options}`]
  return [
    ...['-accel', 'tcg,tb-size=128', '-machine', uefi ? 'q35' : 'pc,graphics=off', '-cpu', 'qemu64,+rdrand'],
    ...['-smp', '1', '-m', String(machine.memory), '-nodefaults', '-display', 'none', '-serial', 'stdio'],
    ...['-uuid', `11111111-2222-3333-4444-${machine.mac.replaceAll(':', '')}`],
    ...(uefi ? pflash(0, 'readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd') : []),
    ...(uefi ? pflash(1, `file=${join(folder, 'vars.fd')}`) : []),
    ...networkArguments(machine),
  ]
}

function networkArguments({ mac, network }: Machine): string[] {
  const card = `virtio-net-pci,netdev=n0,mac=${mac},bootindex=1`
  if (network.kind === 'user') return ['-netdev', `user,id=n0,bootfile=${network.bootfile}`, '-device', card]
  const tap = `tap,id=n0,ifname=${network.device},script=no,downscript=no`
  return ['-netdev', tap, '-device', network.rom ? card : `${card},romfile=`]
}

/** Starts a machine; `prefix` is the beginning of its command line. It dies with this process, whatever ends it. */
export function startGuest(machine: Machine, prefix: readonly string[] = []): Guest {
  const folder = mkdtempSync(join(tmpdir(), 'muster-guest-'))
  if (machine.firmware === 'uefi') copyFileSync('/usr/share/OVMF/OVMF_VARS_4M.fd', join(folder, 'vars.fd'))
  const command = [...prefix, 'qemu-system-x86_64', ...qemuArguments(machine, folder)]
  const qemu = spawn('setpriv', ['--pdeathsig', 'KILL', ...command], { stdio: ['pipe', 'pipe', 'pipe'] })
  let text = ''
  let commands = 0
  for (const stream of [qemu.stdout, qemu.stderr]) {
    stream.setEncoding('latin1')
    stream.on('data', (part: string) => {
      text += part
    })
  }
  const serial = () => Buffer.from(plain(text), 'latin1').toString('utf8')
  return {
    serial,
    says: (pattern, seconds) => waitFor(pattern, seconds, serial, qemu, machine),
    async run(command, seconds = 60) {
      const mark = `${process.pid}-${++commands}`
      // The quotes keep the echo of what is typed from looking like its output.
      qemu.stdin.write(`echo 'BE''GIN-${mark}'; ${command}; echo "EN""D-${mark}:$?"\n`)
      const end = await waitFor(new RegExp(`END-${mark}:(\\d+)`), seconds, serial, qemu, machine)
      const output = serial().slice(0, end.index)
      const begin = `BEGIN-${mark}\n`
      return { output: output.slice(output.lastIndexOf(begin) + begin.length), status: Number(end[1]) }
    },
    type: (typed) => void qemu.stdin.write(typed),
    async stop() {
      await ended(qemu)
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** Without escape sequences (ECMA-48 §5.4) and carriage returns. */
const plain = (text: string): string => text.replace(/\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b[()][A-Z0-9]|\r/g, '')

async function waitFor(
  pattern: RegExp,
  seconds: number,
  serial: () => string,
  qemu: ChildProcess,
  { mac, firmware }: Machine,
): Promise<RegExpExecArray> {
  const deadline = performance.now() + seconds * 1000
  while (true) {
    const found = pattern.exec(serial())
    if (found !== null) return found
    const stopped = qemu.exitCode !== null || qemu.signalCode !== null
    if (stopped || performance.now() > deadline) {
      const log = join(tmpdir(), `muster-guest-${mac.replaceAll(':', '')}.log`)
      writeFileSync(log, serial())
      const what = stopped ? 'stopped' : `was silent for ${seconds} s`
      const tail = serial().split('\n').slice(-40).join('\n')
      throw new Error(
        `the ${firmware} machine ${mac} ${what} before ${pattern}; all of it is in ${log}, its end:\n${tail}`,
      )
    }
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const gone = new Promise((resolve) => child.once('exit', resolve))
  child.kill('SIGKILL')
  await gone
}
