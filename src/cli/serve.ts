/** The service in this process: what `muster serve` runs. Loaded by that command alone, since the others need none of it. */
import { once } from 'node:events'
import { quickenImports } from '../head/quick-imports.ts'
import type { Io } from './io.ts'

/**
 * Runs until SIGTERM, or until Ctrl-C aborts `io.signal`; then stops as gently as it may. Throws what is wrong with the
 * settings, all of it at once, and what keeps the service from starting.
 */
export async function serve(io: Io): Promise<void> {
  quickenImports()
  const [{ readConfig }, { startHead }, { lineLog }] = await Promise.all([
    import('../config.ts'),
    import('../head.ts'),
    import('../head/line-log.ts'),
  ])
  const stopped = new AbortController()
  const onTerm = () => stopped.abort()
  process.once('SIGTERM', onTerm)
  try {
    const stop = AbortSignal.any([stopped.signal, ...(io.signal ? [io.signal] : [])])
    const config = readConfig(io.env, io.cwd)
    const log = lineLog((line) => void io.stderr.write(line), config.log)
    const head = await startHead(config, { log })
    io.stdout.write(`${greeting(head, config).join('\n')}\n`)
    if (!stop.aborted) await once(stop, 'abort')
    log('info', 'stopping: running transfers have 30 seconds to end')
    await head.close()
  } finally {
    process.off('SIGTERM', onTerm)
  }
}

/** What an admin needs to know to go on: where the service is, where the token is, what to tell a DHCP server. */
export function greeting(
  { url, port }: { url: string; port: number },
  { host, tokenFile }: { host: string | undefined; tokenFile: string },
): string[] {
  return [
    `Muster listens on port ${port} of ${host ?? 'every address'}; nodes reach it at ${url}`,
    `The admin token is in ${tokenFile}`,
    '',
    'For dnsmasq, which also serves iPXE itself by TFTP (undionly.kpxe in place of snponly.efi for BIOS machines):',
    '',
    ...dnsmasqLines(url).map((line) => `  ${line}`),
    '',
    'The same for ISC dhcpd and Kea is in docs/first-node.md.',
  ]
}

/**
 * Lines of dnsmasq.conf that send iPXE to the boot script and all else to iPXE first. iPXE tells itself apart by DHCP
 * option 175 (ipxe.org/howto/chainloading).
 */
const dnsmasqLines = (url: string): string[] => [
  'dhcp-match=set:ipxe,175',
  `dhcp-boot=tag:ipxe,${url}/boot.ipxe`,
  'dhcp-boot=tag:!ipxe,snponly.efi',
]
