/** The head node as templates see it. */
import { parseIp4, parseIp6 } from './ip.ts'

/** Where nodes reach Muster, taken apart. `ip` is there when `host` is an address. */
export type HeadView = { url: string; host: string; port: number; ip: string | undefined }

/** Takes `http://10.0.0.1:9873` apart. */
export function headView(url: string): HeadView {
  const { protocol, hostname, port } = new URL(url)
  const host = hostname.replace(/^\[|\]$/g, '')
  const isAddress = parseIp4(host) !== undefined || parseIp6(host) !== undefined
  return {
    url,
    host,
    port: port === '' ? (protocol === 'https:' ? 443 : 80) : Number(port),
    ip: isAddress ? host : undefined,
  }
}
