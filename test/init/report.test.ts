import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { commandFolder, type Ended, type Place, pathOf, place, run, shells } from './shells.ts'

const ticket = 'S3cret-ticket_of.this~attempt'

type Received = { method: string; url: string; headers: IncomingMessage['headers']; body: string }

/** A head node that looks at every process's command line and environment before it answers. */
type Head = { url: string; received: Received[]; seen: string[]; answers: number[]; close(): Promise<void> }

async function startHead(): Promise<Head> {
  const received: Received[] = []
  const seen: string[] = []
  const answers: number[] = []
  const server: Server = createServer((request, response) => {
    let body = ''
    request.setEncoding('utf8')
    request.on('data', (text: string) => {
      body += text
    })
    request.on('end', () => {
      received.push({ method: request.method ?? '', url: request.url ?? '', headers: request.headers, body })
      seen.push(
        ...readdirSync('/proc')
          .filter((name) => /^\d+$/.test(name))
          .map(argumentsOf),
      )
      // Late, as an answer that had to look something up: by then a careless client has closed its half.
      setTimeout(() => response.writeHead(answers.shift() ?? 204).end(), 100)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const close = () => new Promise<void>((resolve) => server.close(() => resolve()))
  return { url: `http://127.0.0.1:${port}`, received, seen, answers, close }
}

/** What anybody on the node can read of a process; nothing of one that is gone by now. */
function argumentsOf(pid: string): string {
  try {
    return ['cmdline', 'environ'].map((file) => readFileSync(`/proc/${pid}/${file}`, 'utf8')).join(' ')
  } catch {
    return ''
  }
}

const tools = ['curl', 'wget', 'nc'].filter((tool) => pathOf(tool === 'nc' ? 'busybox' : tool) !== undefined)
const pairs = shells.flatMap(([name, shell]) => tools.map((tool) => [name, tool, shell] as const))

let head: Head
let at: Place
beforeEach(async () => {
  head = await startHead()
  at = place(`head=${head.url}\nroot=tmpfs\n`, ticket)
})
afterEach(async () => {
  at.remove()
  await head.close()
})

const report = (shell: string[], commands: string, ...args: string[]): Promise<Ended> =>
  run([...shell, `${at.muster}/report`, ...args], { PATH: commands, MUSTER: at.muster, MUSTER_RUN: at.run })

describe.each(pairs)('a report under %s with %s', (_name, tool, shell) => {
  it('is a POST with the ticket in its header and nowhere else', async () => {
    const ended = await report(shell, commandFolder(at, [tool]), 'stage', 'step=root', 'seconds=12')
    expect(ended).toEqual({ status: 0, output: '' })
    const [request] = head.received
    expect(head.received).toHaveLength(1)
    expect(request).toMatchObject({ method: 'POST', url: '/self/events' })
    expect(request!.headers).toMatchObject({ authorization: `Bearer ${ticket}`, 'content-type': 'application/json' })
    expect(JSON.parse(request!.body)).toEqual({
      kind: 'stage',
      detail: {
        uptime: expect.any(Number),
        memTotalKiB: expect.any(Number),
        memAvailableKiB: expect.any(Number),
        rootKind: 'tmpfs',
        step: 'root',
        seconds: 12,
      },
    })
    // The look into the processes did see the one that was asking.
    expect(head.seen.filter((text) => text.includes(`${at.muster}/report`))).not.toEqual([])
    expect(head.seen.filter((text) => text.includes(ticket))).toEqual([])
  })

  it('carries any text as JSON', async () => {
    const message = 'cannot "mount" C:\\x\t\u001b[31m $(reboot) `id` ünïcode\nline 2 \'quoted\''
    await report(shell, commandFolder(at, [tool]), 'failed', `message=${message}`)
    const detail = JSON.parse(head.received[0]!.body).detail
    expect(detail.message).toBe('cannot "mount" C:\\x[31m $(reboot) `id` ncodeline 2 \'quoted\'')
  })

  it('says when it was refused, and asks no second time', async () => {
    head.answers.push(401)
    const ended = await report(shell, commandFolder(at, [tool]), 'ready')
    expect(ended.status).toBe(2)
    expect(ended.output).toContain('refused it with status 401')
    expect(head.received).toHaveLength(1)
    expect(existsSync(`${at.run}/ticket`)).toBe(true)
  })

  it('repeats ready until it is taken, then forgets the ticket', async () => {
    head.answers.push(503)
    const ended = await report(shell, commandFolder(at, [tool]), 'ready')
    expect(ended).toEqual({ status: 0, output: '' })
    expect(head.received.map(({ body }) => JSON.parse(body).detail.rootUsedKiB)).toEqual([
      expect.any(Number),
      expect.any(Number),
    ])
    expect(existsSync(`${at.run}/ticket`)).toBe(false)
  })

  it('says when nobody answers', async () => {
    await head.close()
    const ended = await report(shell, commandFolder(at, [tool]), 'init')
    expect(ended.status).toBe(1)
    expect(ended.output).toContain(`no answer from ${head.url}/self/events`)
  })
})

describe('a report', () => {
  const dash = shells.find(([name]) => name === 'dash')?.[1] ?? ['sh']

  it('says once a boot that the image has nothing to report with', async () => {
    const commands = commandFolder(at, [])
    const first = await report(dash, commands, 'init')
    const second = await report(dash, commands, 'stage')
    expect(first).toMatchObject({ status: 1, output: expect.stringContaining('no curl or GNU wget in this image') })
    expect(second).toEqual({ status: 1, output: '' })
  })

  it('does not send the ticket of an https head node over plain nc', async () => {
    at.remove()
    at = place('head=https://127.0.0.1\nroot=tmpfs\n', ticket)
    const ended = await report(dash, commandFolder(at, ['nc']), 'init')
    expect(ended).toMatchObject({ status: 1, output: expect.stringContaining('no curl or GNU wget') })
  })

  it('refuses a kind that nodes do not tell', async () => {
    expect(await report(dash, commandFolder(at, ['curl']), 'script')).toMatchObject({ status: 64 })
    expect(head.received).toEqual([])
  })

  it('bounds a head node that never answers, also without timeout(1)', async () => {
    const silent = createServer(() => {})
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve))
    at.remove()
    at = place(`head=http://127.0.0.1:${(silent.address() as AddressInfo).port}\nroot=tmpfs\n`, ticket)
    const commands = commandFolder(at, ['nc'])
    const { rmSync } = await import('node:fs')
    rmSync(`${commands}/timeout`)
    const ended = await report(dash, commands, 'init')
    silent.closeAllConnections()
    silent.close()
    expect(ended).toMatchObject({ status: 1, output: expect.stringContaining('no answer') })
  })
})
