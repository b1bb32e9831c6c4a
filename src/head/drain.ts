/** How a server of Node stops without cutting what it is sending. */
import type { Server } from 'node:http'
import type { Socket } from 'node:net'

/**
 * Watches a server's connections from before it listens. What it answers stops the server: no new connections; those
 * without a request are closed, also those that never sent one, which Node's `closeIdleConnections` leaves open; the
 * others end with their answer, or are cut after `grace` milliseconds. Resolves to the number of those that were cut.
 */
export function drainable(server: Server): (grace: number) => Promise<number> {
  const open = new Set<Socket>()
  const busy = new Set<Socket>()
  let stopping = false
  server.on('connection', (socket) => {
    open.add(socket)
    socket.once('close', () => open.delete(socket))
  })
  server.on('request', ({ socket }, answer) => {
    busy.add(socket)
    answer.once('close', () => {
      busy.delete(socket)
      if (stopping) socket.destroySoon()
    })
  })

  return async (grace) => {
    stopping = true
    const { promise: closed, resolve } = Promise.withResolvers<void>()
    server.close(() => resolve())
    for (const socket of open) if (!busy.has(socket)) socket.destroySoon()
    let cut = 0
    const late = setTimeout(() => {
      cut = open.size
      server.closeAllConnections()
    }, grace)
    await closed
    clearTimeout(late)
    return cut
  }
}
