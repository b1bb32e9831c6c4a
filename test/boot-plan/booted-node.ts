/** A machine that boots as a node and then is its client: it asks for what a real one asks for, in that order. */
import { createHash } from 'node:crypto'
import type { createApp } from '../../src/app.ts'
import { cpioFiles } from './cpio-files.ts'

/** A booted node. */
export type BootedNode = {
  /** Id of its attempt. */
  attempt: string
  ticket: string
  token: string
  /** The list that it gets now, and the digest that it reports when it has applied it. */
  list(list: 'system' | 'runtime'): Promise<{ text: string; digest: string }>
  /** Reports, with its token unless said otherwise. */
  tell(kind: string, detail?: Record<string, unknown>, bearer?: string): Promise<Response>
  /** Reports ready with everything that it runs: the plan of its script, and both lists as they are now. */
  ready(more?: Record<string, unknown>): Promise<void>
}

/** Boots the machine with a MAC. */
export async function bootNode(app: ReturnType<typeof createApp>, mac: string): Promise<BootedNode> {
  const script = await (await app.request(`/boot/${mac}`)).text()
  const path = /\/boot\/[0-9a-f:]+\/[0-9a-f]{32}/.exec(script)?.[0]
  if (path === undefined) throw new Error(`no attempt in: ${script}`)
  const archive = await app.request(`${path}/ticket.cpio`)
  const ticket = textOf(cpioFiles(new Uint8Array(await archive.arrayBuffer())).get('muster/ticket')?.content)
  const system = await app.request(`${path}/system.cpio`)
  const files = cpioFiles(new Uint8Array(await system.arrayBuffer()))
  const config = settingsOf(textOf(files.get('muster/config')?.content))
  const answer = await app.request('/self/token', { method: 'POST', headers: { Authorization: `Bearer ${ticket}` } })
  if (answer.status !== 201) throw new Error(`no token: ${await answer.text()}`)
  const token = (await answer.text()).trim()
  const headers = { Authorization: `Bearer ${token}` }

  const list: BootedNode['list'] = async (name) => {
    const got = await app.request(`/self/overlays/${name}`, { headers })
    const text = await got.text()
    if (got.status !== 200) throw new Error(`${name}: ${got.status} ${text}`)
    return { text, digest: createHash('sha256').update(text).digest('hex') }
  }
  const tell: BootedNode['tell'] = async (kind, detail = {}, bearer = token) =>
    app.request('/self/events', {
      method: 'POST',
      headers: { Authorization: `Bearer ${bearer}` },
      body: JSON.stringify({ kind, detail }),
    })
  return {
    attempt: path.split('/').at(-1) ?? '',
    ticket,
    token,
    list,
    tell,
    async ready(more = {}) {
      const [{ digest: atBoot }, { digest: runtime }] = await Promise.all([list('system'), list('runtime')])
      const { imageDigest: image, kernel, root: rootKind, args = '' } = config
      const detail = { uptime: 31.5, image, kernel, rootKind, args, system: atBoot, runtime, ...more }
      const { status } = await tell('ready', detail)
      if (status !== 204) throw new Error(`ready was answered ${status}`)
    },
  }
}

const textOf = (bytes: Uint8Array | undefined): string => new TextDecoder().decode(bytes).trim()

/** `/muster/config`: a setting a line. */
const settingsOf = (text: string): Partial<Record<string, string>> =>
  Object.fromEntries(
    text.split('\n').flatMap((line) => {
      const at = line.indexOf('=')
      return at < 0 ? [] : [[line.slice(0, at), line.slice(at + 1)]]
    }),
  )
