/** Clients of nodes over real HTTP, against a head node in a process of its own. */
import { spawn } from 'node:child_process'
import { Agent, request } from 'node:http'
import type { Served } from './head-node.ts'
import { nameOf, settingsOf, tokenOf } from './overlay-cluster.ts'
import { freePort, retry } from './processes.ts'
import { cpuSecondsOf } from './report.ts'

/** A server of nothing but `node:http` that answers whatever it is asked 304, in a process of its own: the least that a poll costs. */
export async function startBareServer(): Promise<Served> {
  const port = await freePort()
  const program = `require('node:http')
    .createServer((request, response) =>
      response.writeHead(304, { etag: request.headers['if-none-match'] ?? '"none"', 'cache-control': 'no-store' }).end())
    .listen(${port}, '127.0.0.1')`
  const child = spawn(process.execPath, ['-e', program], { stdio: ['ignore', 'ignore', 'inherit'] })
  const url = `http://127.0.0.1:${port}`
  await retry(() => fetch(url))
  return { child, pid: child.pid ?? 0, url }
}

/** An answer: its status, ETag and length, when its last byte came. */
type Answer = { status: number; etag: string; text: string }

/** Asks for a node's runtime list as its client does. */
const listOf = ({ url }: Served, node: number, agent: Agent, etag?: string): Promise<Answer> =>
  ask(`${url}/self/overlays/runtime`, node, agent, etag === undefined ? {} : { 'if-none-match': etag })

function ask(url: string, node: number, agent: Agent, headers: Record<string, string>): Promise<Answer> {
  const { promise, resolve, reject } = Promise.withResolvers<Answer>()
  const sent = request(
    url,
    { agent, headers: { authorization: `Bearer ${tokenOf(node)}`, ...headers } },
    (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('error', reject)
      response.on('end', () =>
        resolve({
          status: response.statusCode ?? 0,
          etag: response.headers.etag ?? '',
          text: Buffer.concat(chunks).toString('latin1'),
        }),
      )
    },
  )
  sent.on('error', reject)
  sent.end()
  return promise
}

/** What a storm took: seconds until the last list, and until the last node has what changed; CPU of the head node. */
export type Storm = { listSeconds: number; seconds: number; cpuSeconds: number }

/** So many nodes learn at the same time that their overlay has changed, and fetch the file that did. */
export async function storm(served: Served, admin: string, nodes: number, edit: object): Promise<Storm> {
  const agent = new Agent({ keepAlive: true, maxSockets: nodes })
  try {
    const etags: string[] = []
    for (let node = 0; node < nodes; node++) etags.push((await listOf(served, node, agent)).etag)
    await api(served, admin, 'PUT', '/api/overlays/dozen', edit)
    const cpu = cpuSecondsOf(served.pid)
    const began = performance.now()
    let lists = 0
    await Promise.all(
      etags.map(async (etag, node) => {
        const list = await listOf(served, node, agent, etag)
        if (list.status !== 200) throw new Error(`node ${node}: ${list.status} ${list.text}`)
        lists = Math.max(lists, performance.now() - began)
        const line = list.text.split('\n').findIndex((row) => row.endsWith(' /etc/motd')) + 1
        const archive = await ask(`${served.url}/self/overlays/runtime/archive?lines=${line}`, node, agent, {
          'if-match': list.etag,
        })
        if (archive.status !== 200 || !archive.text.includes(`${nameOf(node)}.cluster.example`))
          throw new Error(`node ${node}: ${archive.status} ${archive.text.slice(0, 200)}`)
      }),
    )
    const seconds = (performance.now() - began) / 1000
    return { listSeconds: lists / 1000, seconds, cpuSeconds: cpuSecondsOf(served.pid) - cpu }
  } finally {
    agent.destroy()
  }
}

/** CPU seconds of the head node for each second in which clients ask so often and have what there is. */
export async function poll(
  served: Served,
  { nodes, perSecond, seconds, keepAlive }: { nodes: number; perSecond: number; seconds: number; keepAlive: boolean },
): Promise<number> {
  const agent = new Agent({ keepAlive, maxSockets: 64 })
  try {
    const asked = Math.min(nodes, perSecond * seconds)
    const etags: string[] = []
    for (let node = 0; node < asked; node++) etags.push((await listOf(served, node, agent)).etag)
    const cpu = cpuSecondsOf(served.pid)
    const began = performance.now()
    const answers: Promise<void>[] = []
    for (let at = 0; at < perSecond * seconds; at++) {
      const wait = began + (at * 1000) / perSecond - performance.now()
      if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait))
      const node = at % asked
      answers.push(
        listOf(served, node, agent, etags[node]).then(({ status }) => {
          if (status !== 304) throw new Error(`node ${node}: ${status}`)
        }),
      )
    }
    await Promise.all(answers)
    return (cpuSecondsOf(served.pid) - cpu) / ((performance.now() - began) / 1000)
  } finally {
    agent.destroy()
  }
}

/** Seconds from the commit of an edit of one node until it has its new list. */
export async function editOne(served: Served, admin: string, node: number): Promise<number> {
  const agent = new Agent({ keepAlive: true })
  try {
    const { etag } = await listOf(served, node, agent)
    const tags = { rack: `edited${Date.now()}` }
    await api(served, admin, 'PUT', `/api/nodes/${nameOf(node)}`, {
      profiles: ['all'],
      settings: settingsOf(node, tags),
    })
    const began = performance.now()
    const { status } = await listOf(served, node, agent, etag)
    if (status !== 200) throw new Error(`node ${node}: ${status} after an edit`)
    return (performance.now() - began) / 1000
  } finally {
    agent.destroy()
  }
}

/** CPU seconds of the head node for the drift of all nodes, page by page. */
export async function drift({ url, pid }: Served, admin: string, nodes: number): Promise<number> {
  const cpu = cpuSecondsOf(pid)
  let count = 0
  let after: string | null = ''
  while (after !== null) {
    const answer = await fetch(`${url}/api/drift?limit=1000${after && `&after=${after}`}`, {
      headers: { authorization: `Bearer ${admin}` },
    })
    if (!answer.ok) throw new Error(`drift: ${answer.status} ${await answer.text()}`)
    const page = (await answer.json()) as { items: { state: string }[]; next: string | null }
    if (page.items.some(({ state }) => state !== 'reboot needed')) throw new Error('drift: a node is not as reported')
    count += page.items.length
    after = page.next
  }
  if (count !== nodes) throw new Error(`drift: ${count} nodes of ${nodes}`)
  return cpuSecondsOf(pid) - cpu
}

async function api({ url }: Served, admin: string, method: string, path: string, body: object): Promise<void> {
  const answer = await fetch(url + path, {
    method,
    headers: { authorization: `Bearer ${admin}`, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`)
}
