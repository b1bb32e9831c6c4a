/**
 * What machines fetch before they run Linux: scripts, and the archives beside the image. No token: a MAC is no secret, and
 * what is one (the ticket) is given out once per boot.
 *
 *     /boot.ipxe                       the script that every machine begins with
 *     /boot/MAC?uuid=…&serial=…        iPXE's script for the machine
 *     /boot/MAC/grub.cfg               the same for GRUB
 *     /boot/MAC/ATTEMPT/ticket.cpio    and system.cpio, runtime.cpio
 *     /boot/MAC/ATTEMPT/beacon         the script tells what went wrong
 *
 * Answers have a length and are neither encoded nor redirected: iPXE, GRUB and firmware cope badly with anything else.
 */
import { type Context, Hono } from 'hono'
import type { Pieces } from '../archive/pieces.ts'
import { type OverlayArchives, overlayArchives } from '../boot/archives.ts'
import { type Attempts, type OpenAttempt, openAttempts, type Random, randomBytes } from '../boot/attempts.ts'
import { type GivenTrees, givenTrees } from '../boot/given-trees.ts'
import { type KnownMachine, knownMachines } from '../boot/known-machines.ts'
import { checkArchitecture, difference, type Loader } from '../boot/loaders.ts'
import { otherMacs, plain, readFacts, readMac } from '../boot/machine.ts'
import { rootInTime } from '../boot/root.ts'
import { fillScript, type Script, type ScriptText } from '../boot/script.ts'
import { bootScripts } from '../boot/scripts.ts'
import { createSightings } from '../boot/sightings.ts'
import { ticketArchive } from '../boot/ticket-archive.ts'
import { AppError, statusOf } from '../errors.ts'
import { overlaySource } from '../overlays/store.ts'
import { nodeByName, unknownNode } from '../registry/nodes.ts'
import { createSnapshots } from '../registry/snapshot.ts'
import type { Services } from '../services.ts'
import { clientAddress } from './client-address.ts'
import { onNotFound } from './errors.ts'
import { namesEtag } from './etag.ts'
import { piecesBody } from './pieces-body.ts'

/** What the app and tests may give. */
export type BootOptions = { attempts?: Attempts; random?: Random; archives?: OverlayArchives; given?: GivenTrees }

/** Seconds that a machine waits before it asks again; which of them is left to chance. */
const pauses = {
  /** One that is unknown or cannot boot: somebody has to do something first. */
  longer: { least: 15, most: 45 },
  /** One whose image is being prepared. */
  preparing: { least: 5, most: 14 },
}
/** Seconds that a planned machine waits at most, besides what its script says, before it tries again. */
const mostRetryJitter = 9

/** Mounted at `/`. */
export function bootRoutes(services: Services, options: BootOptions = {}) {
  const { registry, assets, roots, cluster, url, log, presence } = services
  const bytes = options.random ?? randomBytes()
  const attempts = options.attempts ?? openAttempts(services, { random: bytes })
  const overlays = overlaySource(services)
  const scripts = bootScripts({ assets, overlays, rootOf: rootInTime(roots), cluster, url })
  const archives = options.archives ?? overlayArchives({ ...services, overlays })
  const given = options.given ?? givenTrees(services)
  const nodeOf = nodeByName(registry)
  const snapshots = createSnapshots(registry)
  const isWorthNoting = createSightings()
  const find = knownMachines({ registry, assets, scripts })
  const seconds = (least: number, most: number) => String(least + ((bytes(1)[0] ?? 0) % (most - least + 1)))

  /** The script for whoever has this MAC, or says that it has another one of a node's. */
  async function scriptFor(c: Context, path: string, loader: Loader): Promise<Response> {
    const mac = readMac(path)
    const known = mac === undefined ? undefined : await find(mac, loader)
    if (mac !== undefined && known) return nodeScript(c, known, mac, loader)
    const query = c.req.query()
    for (const other of otherMacs(query, mac)) {
      const node = await find(other, loader)
      if (node) return nodeScript(c, node, other, loader)
    }
    const at = services.now()
    if (mac !== undefined && isWorthNoting(mac, at.getTime())) {
      const address = clientAddress(c)
      const facts = readFacts(query)
      services.journal.record({ type: 'machine', mac, at, facts, ...(address && { address }) })
    }
    return send(waiting(await scripts.unknown(loader), mac ?? unknownMac))
  }

  async function nodeScript(c: Context, known: KnownMachine, mac: string, loader: Loader): Promise<Response> {
    const { node, identity } = known
    try {
      if (identity.uuid || identity.serial) checkIdentity(c, known)
      const { script, plan, record } = await known.script()
      if (plan) checkArchitecture(plan, node, loader === 'ipxe' ? c.req.query('arch') : undefined)
      const address = clientAddress(c)
      const attempt = attempts.open({ node, mac, plan: record, address })
      if (address !== undefined) presence.seen(address, attempt)
      return send(fillScript(script, { node, mac, attempt, jitter: seconds(0, mostRetryJitter) }))
    } catch (error) {
      // What is the admin's to repair is told on the machine's screen; what is ours is a 5xx, and the caller tries again.
      if (!(error instanceof AppError) || (statusOf[error.code] >= 500 && !ours.includes(error.code))) throw error
      const pause = error.code === 'IMAGE_PREPARING' ? pauses.preparing : pauses.longer
      return send(waiting(await scripts.unplanned(node, error.message, loader), mac, pause))
    }
  }

  /** Throws `PLAN_IMPOSSIBLE` when the machine is not the one that the node was made for. */
  function checkIdentity(c: Context, { node, identity }: KnownMachine): void {
    const said = { uuid: plain(c.req.query('uuid') ?? ''), serial: plain(c.req.query('serial') ?? '') }
    const differs = difference(identity, said)
    if (differs === undefined) return
    log('warn', 'a machine asked for the script of a node that is another machine', { node, differs })
    throw new AppError(
      'PLAN_IMPOSSIBLE',
      `the hardware is not that of ${node}: it says ${differs}. If it was replaced, correct the node's uuid and serial`,
    )
  }

  const waiting = (script: Script, mac: string, { least, most } = pauses.longer): ScriptText =>
    fillScript(script, { node: 'none', mac, attempt: 'none', jitter: seconds(least, most) })

  async function attemptFile(c: Context, attempt: OpenAttempt, file: string): Promise<Response> {
    if (file === 'ticket.cpio') return archive(whole(ticketArchive(await attempts.mint(attempt))))
    if (file === 'system.cpio' || file === 'runtime.cpio') return overlayFile(c, attempt, file)
    if (file !== 'beacon') return onNotFound(c)
    const { stage = '', errno = '' } = c.req.query()
    attempts.tell(attempt, 'beacon', { stage: plain(stage), errno: plain(errno) })
    // Not 204: iPXE of 2019 waits for the connection to end when an answer has no length.
    return archive(whole(new Uint8Array()))
  }

  async function overlayFile(
    c: Context,
    attempt: OpenAttempt,
    file: 'system.cpio' | 'runtime.cpio',
  ): Promise<Response> {
    const list = file === 'system.cpio' ? 'system' : 'runtime'
    // The revision is read first: a node that is read later is never older than it.
    const snapshot = await snapshots()
    const node = await nodeOf(attempt.node)
    if (!node) throw unknownNode(attempt.node)
    const { digest, tree, withheld, ...content } = await archives.bootArchive(node, list, snapshot)
    given.open(tree)
    const etag = `"${digest}"`
    const headers = { ETag: etag }
    const unchanged = namesEtag(c.req.header('if-none-match'), etag)
    attempts.tell(attempt, 'overlay', { list, digest, size: content.size, unchanged, ...(withheld && { withheld }) })
    if (unchanged) return new Response(null, { status: 304, headers: { ...headers, 'Cache-Control': 'no-store' } })
    return archive(content, headers)
  }

  const routes = new Hono()
  routes.get('/boot.ipxe', async () => send(fillScript(await scripts.first(), constant)))
  // One pattern for all, because `/boot//MAC` must be answered and never redirected.
  routes.get('/boot/:rest{(?:.|\\s)+}', async (c) => {
    const [mac = '', second, file, ...more] = c.req.param('rest').split('/').filter(Boolean)
    if (second === undefined) return scriptFor(c, mac, 'ipxe')
    if (file === undefined) return second === 'grub.cfg' ? scriptFor(c, mac, 'grub') : onNotFound(c)
    if (more.length > 0) return onNotFound(c)
    return attemptFile(c, await attempts.find(second, readMac(mac) ?? mac), file)
  })
  return routes
}

/** Faults of the service that only a person or time repairs: the machine says so and asks again. */
const ours: readonly string[] = ['IMAGE_PREPARING', 'BLOB_CORRUPT', 'UNSUPPORTED']

/** What a script calls a machine whose MAC nobody could read. */
const unknownMac = 'unknown'

/** The first script is the same for all, so that an iPXE binary can have it inside: it has nothing of one machine. */
const constant = { node: 'none', mac: 'none', attempt: 'none', jitter: '15' }

const send = ({ text, size }: ScriptText): Response =>
  new Response(text, {
    headers: {
      'Content-Type': 'text/plain; charset=utf-8',
      'Content-Length': String(size),
      'Cache-Control': 'no-store',
    },
  })

const whole = (bytes: Uint8Array<ArrayBuffer>): Pieces => ({ size: bytes.length, pieces: [bytes] })

const archive = (content: Pieces, headers: Record<string, string> = {}): Response =>
  new Response(piecesBody(content), {
    headers: {
      'Content-Type': 'application/octet-stream',
      'Content-Length': String(content.size),
      'Cache-Control': 'no-store',
      ...headers,
    },
  })
