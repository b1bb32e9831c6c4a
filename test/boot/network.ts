/** A network of its own, without touching this machine's: a namespace with a bridge, tap devices, and dnsmasq on it. */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** Address of the bridge, where head node and dnsmasq listen. */
export const bridgeAddress = '10.77.0.1'

/** The network, and how to be in it. */
export type Network = {
  /** The beginning of a command line that runs in it. */
  prefix: string[]
  /** Starts dnsmasq with DHCP and TFTP from `tftp`, and more options of its own. */
  dnsmasq(tftp: string, options: string[]): void
  /** What dnsmasq has printed. */
  log(): string
  stop(): void
}

const bridge = `ip link set lo up
ip link add br0 type bridge forward_delay 0
ip address add ${bridgeAddress}/24 dev br0
ip address add fd77::1/64 dev br0 nodad
ip link set br0 up
for tap in tap0 tap1; do ip tuntap add dev $tap mode tap && ip link set $tap master br0 up; done
echo up
exec sleep infinity`

/** Makes the network; every process in it dies with this one. Throws where namespaces are barred. */
export async function createNetwork(): Promise<Network> {
  const unshare = ['unshare', '-Urnpf', '--kill-child', '--mount-proc', 'sh', '-ec', bridge]
  const holder = spawn('setpriv', ['--pdeathsig', 'KILL', ...unshare], { stdio: ['ignore', 'pipe', 'pipe'] })
  await up(holder)
  const [first] = readFileSync(`/proc/${holder.pid}/task/${holder.pid}/children`, 'utf8').split(' ')
  const prefix = ['nsenter', '-t', first ?? '', '-U', '-n', '-p', '-m', '--preserve-credentials']
  const leases = mkdtempSync(join(tmpdir(), 'muster-dnsmasq-'))
  let log = ''
  return {
    prefix,
    dnsmasq(tftp, options) {
      const args = [
        '--no-daemon',
        '--conf-file=/dev/null',
        '--port=0',
        '--interface=br0',
        '--bind-interfaces',
        '--pid-file=',
      ]
      args.push(`--dhcp-leasefile=${join(leases, 'leases')}`, '--dhcp-range=10.77.0.100,10.77.0.200,255.255.255.0,1h')
      // Without a router's advertisement iPXE waits 16 s for one; without the option 3 s for a ProxyDHCP server.
      args.push('--enable-ra', '--dhcp-range=fd77::,ra-only', '--dhcp-option-force=encap:175,176,1', '--no-ping')
      args.push('--enable-tftp', `--tftp-root=${tftp}`, ...options)
      const [program = '', ...rest] = [...prefix, 'dnsmasq', ...args]
      const server = spawn(program, rest, { stdio: ['ignore', 'pipe', 'pipe'] })
      for (const stream of [server.stdout, server.stderr]) {
        stream.on('data', (part: Buffer) => {
          log += part.toString()
        })
      }
    },
    log: () => log,
    stop() {
      holder.kill('SIGKILL')
      rmSync(leases, { recursive: true, force: true })
    },
  }
}

/** Waits for the bridge. */
function up(holder: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    let said = ''
    for (const stream of [holder.stdout, holder.stderr]) {
      stream?.on('data', (part: Buffer) => {
        said += part.toString()
        if (said.includes('up\n')) resolve()
      })
    }
    holder.once('exit', () => reject(new Error(`no network namespace: ${said}`)))
  })
}
