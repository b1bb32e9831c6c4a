/** `/api/nodes/{name}/files`: the files of overlays that a node has, as its client reported them. */
import { createRoute, z } from '@hono/zod-openapi'
import { reportOfNode } from '../activity/reports.ts'
import { listsOf, textsOf } from '../activity/trees.ts'
import { type ListedEntry, parseList } from '../overlays/tree-list.ts'
import { getNode } from '../registry/nodes.ts'
import type { Services } from '../services.ts'
import { apiRoutes } from './api-routes.ts'
import { json, nameParam, refusals } from './schemas.ts'

const hex = z.string().openapi({ description: 'sha256 in hex', example: '0'.repeat(64) })

const fileSchema = z
  .object({
    path: z.string(),
    type: z.enum(['file', 'link', 'directory', 'removal']),
    mode: z.string().nullable().openapi({ example: '0644', description: 'null for a removal' }),
    uid: z.int().nullable(),
    gid: z.int().nullable(),
    digest: hex.nullable().openapi({ description: "Of a file's content or a link's target; null when it is private" }),
    private: z.boolean(),
    text: z.string().optional().openapi({ description: 'The content, when it is a short text that is still known' }),
  })
  .openapi('NodeFile')

const treeSchema = z
  .object({
    list: z.enum(['system', 'runtime']),
    digest: hex,
    known: z.boolean().openapi({ description: 'False when what has this digest is not known any more' }),
    entries: z.array(fileSchema),
  })
  .openapi('NodeFiles')

const read = createRoute({
  method: 'get',
  path: '/{name}/files',
  summary: 'List the files of overlays that a node has, as its client reported',
  description: 'Nothing for a list that it never reported.',
  request: { params: nameParam },
  responses: { 200: json(z.array(treeSchema), 'The lists that it has'), ...refusals('NODE_UNKNOWN') },
})

/** Mounted at `/api/nodes`. */
export const nodeFileRoutes = ({ registry, activity, journal }: Services) => {
  const newest = reportOfNode(activity)
  return apiRoutes().openapi(read, async (c) => {
    const { name } = await getNode(registry, c.req.valid('param').name)
    // What was told a moment ago is shown, too.
    await journal.flush().catch(() => undefined)
    const report = (await newest(name))?.report ?? {}
    const reported = (['system', 'runtime'] as const).flatMap((list) => {
      const digest = report[list]
      return digest === undefined ? [] : [{ list, digest }]
    })
    const known = await listsOf(
      activity,
      reported.map(({ digest }) => digest),
    )
    const trees = reported.map(({ digest, ...tree }) => {
      const list = known.get(digest)
      return { ...tree, digest, known: list !== undefined, entries: list === undefined ? [] : parseList(list) }
    })
    const wanted = trees.flatMap(({ entries }) =>
      entries.flatMap(({ digest }) => (digest === undefined ? [] : [digest])),
    )
    const texts = await textsOf(activity, [...new Set(wanted)])
    return c.json(
      trees.map((tree) => ({ ...tree, entries: tree.entries.map((entry) => fileBody(entry, texts)) })),
      200,
    )
  })
}

function fileBody(
  { path, type, mode, uid, gid, digest, private: hidden }: ListedEntry,
  texts: ReadonlyMap<string, string>,
) {
  const text = digest === undefined ? undefined : texts.get(digest)
  return {
    path,
    type,
    mode: mode === undefined ? null : `0${mode.toString(8).padStart(3, '0')}`,
    uid: uid ?? null,
    gid: gid ?? null,
    digest: digest ?? null,
    private: hidden,
    ...(text !== undefined && { text }),
  }
}
