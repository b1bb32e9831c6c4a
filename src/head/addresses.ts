/** What this machine is called by others. */

/** One address of an interface, as `os.networkInterfaces()` tells it. */
type Address = { family: string; internal: boolean; address: string }

/** The first IPv4 address that is not the loopback's; `127.0.0.1` on a machine that has no other. */
export function firstAddress(interfaces: Readonly<Record<string, readonly Address[] | undefined>>): string {
  const all = Object.values(interfaces).flatMap((addresses) => addresses ?? [])
  return all.find(({ family, internal }) => family === 'IPv4' && !internal)?.address ?? '127.0.0.1'
}
