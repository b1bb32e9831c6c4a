/**
 * `/self/overlays/{system|runtime}`: what a node's overlays come to, as a list with digests (`overlays/tree.ts`), and the
 * contents that the node lacks.
 *
 *     GET /self/overlays/runtime                              the list; its ETag is its sha256
 *     GET /self/overlays/runtime/archive?lines=5,7-9          with If-Match: a tar of what these lines name
 *
 * `private=no` in the query asks for the public part alone, which is a list of its own: that of a node which cannot show that root
 * asks. Lists that have private files in them say so by `Muster-Private: yes`.
 *
 * Nearly every request is answered 304, for which nothing is looked up but whose token it is and whether anybody has edited.
 */
import { type Context, Hono } from 'hono'
import { hexOf } from '../blobs/digest.ts'
import type { OverlayArchives } from '../boot/archives.ts'
import type { GivenTrees } from '../boot/given-trees.ts'
import type { OverlayList } from '../boot/plans.ts'
import { AppError } from '../errors.ts'
import { lineArchive } from '../overlays/line-archive.ts'
import { contentAt, contentDigests, type OverlayTree, publicTree } from '../overlays/tree.ts'
import { nodeByName } from '../registry/nodes.ts'
import { createSnapshots } from '../registry/snapshot.ts'
import type { Services } from '../services.ts'
import type { CallerOf } from './caller.ts'
import { namesEtag } from './etag.ts'
import { lineNumbers } from './line-numbers.ts'
import { piecesBody } from './pieces-body.ts'
import { checkPrivate } from './private-to.ts'

const encoder = new TextEncoder()

/** What is shared with other routes. `newest` answers the registry's revision: one query for all who ask in one request. */
export type SelfOptions = { archives: OverlayArchives; given: GivenTrees; newest: () => Promise<number> }

/** Mounted at `/self`. */
export function selfOverlayRoutes(
  services: Services,
  { callerOf, archives, given, newest }: SelfOptions & { callerOf: CallerOf },
) {
  const findNode = nodeByName(services.registry)
  const snapshots = createSnapshots(services.registry, newest)

  const digests = contentDigests()

  /** The tree of the node that asks, which may have all of it: the whole one, or the public part when that is asked for. */
  const treeFor = async (c: Context, name: string, list: OverlayList): Promise<OverlayTree> => {
    // The revision is read first: a node that is read later is never older than it.
    const snapshot = await snapshots()
    const node = await findNode(name)
    if (!node) throw new AppError('NODE_UNKNOWN', `no node ${name}: it was deleted since this machine booted`)
    const tree = await archives.treeOf(node, list, snapshot)
    if (isPublicWanted(c)) {
      given.open(tree)
      return publicTree(tree, digests)
    }
    if (tree.private) checkPrivate(c, node, services)
    return tree
  }

  return new Hono()
    .get('/overlays/:list{(?:system|runtime)}', async (c) => {
      const list = listIn(c)
      const { node } = await callerOf(c)
      const wanted = c.req.header('if-none-match')
      if (wanted !== undefined) {
        const known = archives.knownDigest(node, list, await snapshots())
        const etag = known && etagOf({ digest: isPublicWanted(c) ? known.public : known.digest })
        // Whoever names the digest of the whole list has had it.
        if (etag && namesEtag(wanted, etag)) return unchanged(etag)
      }
      const tree = await treeFor(c, node, list)
      const etag = etagOf(tree)
      if (namesEtag(wanted, etag)) return unchanged(etag)
      if (!isPublicWanted(c)) given.whole(tree)
      const body = encoder.encode(tree.list)
      const headers = headersOf('text/plain; charset=utf-8', body.length, etag)
      return new Response(body, { headers: { ...headers, ...(tree.private && { 'Muster-Private': 'yes' }) } })
    })
    .get('/overlays/:list{(?:system|runtime)}/archive', async (c) => {
      const list = listIn(c)
      const { node } = await callerOf(c)
      const tree = await treeFor(c, node, list)
      checkUnchanged(c, tree, list)
      const lines = lineNumbers(c.req.query('lines') ?? '', tree.list.split('\n').length - 1)
      const archive = lineArchive(lines.map((line) => ({ line, content: contentOf(tree, line) })))
      return new Response(piecesBody(archive), { headers: headersOf('application/x-tar', archive.size, etagOf(tree)) })
    })
}

/** The pattern lets no other pass. */
const listIn = (c: Context): OverlayList => (c.req.param('list') === 'system' ? 'system' : 'runtime')

const isPublicWanted = (c: Context): boolean => c.req.query('private') === 'no'

const etagOf = ({ digest }: Pick<OverlayTree, 'digest'>): string => `"${hexOf(digest)}"`

const unchanged = (etag: string): Response =>
  new Response(null, { status: 304, headers: { ETag: etag, 'Cache-Control': 'no-store' } })

/** HTTP/1.0 clients and shell scripts want a length. */
const headersOf = (type: string, size: number, etag: string): Record<string, string> => ({
  'Content-Type': type,
  'Content-Length': String(size),
  ETag: etag,
  'Cache-Control': 'no-store',
})

/** Throws `OVERLAY_CHANGED` when the lines that are asked for are of another list than this one (RFC 9110 §13.1.1). */
function checkUnchanged(c: Context, tree: OverlayTree, list: OverlayList): void {
  const named = /^"([0-9a-f]{64})"$/.exec(c.req.header('if-match')?.trim() ?? '')?.[1]
  if (named === undefined)
    throw new AppError('REQUEST_INVALID', 'If-Match must be the ETag of the list that the lines are of', {
      field: 'If-Match',
    })
  if (named === hexOf(tree.digest)) return
  throw new AppError('OVERLAY_CHANGED', `the ${list} overlays have changed meanwhile: ask for the list again`)
}

function contentOf(tree: OverlayTree, line: number): Uint8Array<ArrayBuffer> {
  const content = contentAt(tree, line)
  if (content) return content
  throw new AppError('REQUEST_INVALID', `line ${line} of the list has no content: ask for lines of files and links`, {
    field: 'lines',
  })
}
