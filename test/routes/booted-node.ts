/** A node that has booted: what it can ask under `/self`, from which address and port it likes. */
import { cpioFiles } from '../boot-plan/cpio-files.ts'
import type { TestApp } from '../harness.ts'

/** What a request of a node has. A port below 1024 is root's. */
export type Asking = { address?: string; port?: number; headers?: Record<string, string>; bearer?: string }

/** A node with the ticket of its boot and the token of its client. */
export type BootedNode = {
  attempt: string
  ticket: string
  token: string
  ask(path: string, asking?: Asking): Promise<Response>
  /** The list, as text, and its ETag. Throws for anything but a 200. */
  list(list: 'system' | 'runtime', asking?: Asking): Promise<{ text: string; etag: string }>
  /** The files of an archive for the kernel, by path. */
  archive(list: 'system' | 'runtime'): Promise<ReturnType<typeof cpioFiles>>
}

/** Boots the node of a MAC as far as its client's token. */
export async function bootNode({ app }: Pick<TestApp, 'app'>, mac: string): Promise<BootedNode> {
  const script = await (await app.request(`/boot/${mac}`)).text()
  const attempt = /\/boot\/[0-9a-f:]+\/[0-9a-f]{32}/.exec(script)?.[0]
  if (!attempt) throw new Error(`no attempt in ${script}`)
  const bytesOf = async (path: string) => {
    const answer = await app.request(path)
    if (answer.status !== 200) throw new Error(`${path}: ${answer.status} ${await answer.text()}`)
    return cpioFiles(new Uint8Array(await answer.arrayBuffer()))
  }
  const ticket = new TextDecoder()
    .decode((await bytesOf(`${attempt}/ticket.cpio`)).get('muster/ticket')?.content)
    .trim()
  const given = await app.request('/self/token', { method: 'POST', headers: { authorization: `Bearer ${ticket}` } })
  const token = (await given.text()).trim()
  const ask: BootedNode['ask'] = async (
    path,
    { address = '10.0.0.2', port = 700, headers = {}, bearer = token } = {},
  ) =>
    app.request(
      path,
      { headers: { authorization: `Bearer ${bearer}`, ...headers } },
      { incoming: { socket: { remoteAddress: address, remotePort: port } } },
    )
  return {
    attempt,
    ticket,
    token,
    ask,
    async list(list, asking) {
      const answer = await ask(`/self/overlays/${list}`, asking)
      const text = await answer.text()
      if (answer.status !== 200) throw new Error(`${list}: ${answer.status} ${text}`)
      return { text, etag: answer.headers.get('etag') ?? '' }
    },
    archive: (list) => bytesOf(`${attempt}/${list}.cpio`),
  }
}
