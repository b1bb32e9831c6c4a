/** `/api/overlays/{name}/lint`: what would go wrong with an overlay, pushed or not. */
import { createRoute, z } from '@hono/zod-openapi'
import { useFindings } from '../boot/overlay-uses.ts'
import { overlayDirectory } from '../overlays/directory.ts'
import { type Finding, lintDirectory, placesOf, privateSources, sorted } from '../overlays/lint.ts'
import type { SourceFile } from '../overlays/parse.ts'
import type { OverlaySource } from '../overlays/store.ts'
import { nameSchema } from '../registry/settings.ts'
import { createSnapshots } from '../registry/snapshot.ts'
import type { Services } from '../services.ts'
import { apiRoutes } from './api-routes.ts'
import { directoryQuery, lintedSchema, overlayBodyLimit, sourceFileOf, sourceFileSchema } from './overlay-schemas.ts'
import { json, jsonRequest, nameParam, refusals } from './schemas.ts'

const lintSent = createRoute({
  method: 'post',
  path: '/{name}/lint',
  summary: 'Say what would go wrong with a directory, without pushing it',
  request: {
    params: nameParam,
    body: jsonRequest(
      z.strictObject({ files: z.array(sourceFileSchema) }).openapi('OverlayLint'),
      'Every file of the directory',
    ),
  },
  responses: { 200: json(lintedSchema, 'What lint found'), ...refusals('BODY_TOO_LARGE') },
})

const lintPushed = createRoute({
  method: 'get',
  path: '/{name}/lint',
  summary: 'Say what would go wrong with an overlay that is there',
  request: { params: nameParam, query: directoryQuery },
  responses: { 200: json(lintedSchema, 'What lint found'), ...refusals('OVERLAY_UNKNOWN') },
})

/** Looks into a directory and among those who have the overlay. `private`: paths whose content is itself a secret. */
export type Linter = (name: string, files: readonly SourceFile[]) => Promise<{ findings: Finding[]; private: string[] }>

/** The linter of the app. */
export function overlayLinter(services: Services, { overlays }: { overlays: OverlaySource }): Linter {
  const { registry, openImage } = services
  const snapshots = createSnapshots(registry)
  return async (name, files) => {
    const { findings: found, parsed } = await lintDirectory(name, files)
    const findings = [...nameFindings(name), ...found]
    if (!parsed) return { findings, private: [] }
    const around = { registry, overlays, snapshot: await snapshots(), openImage }
    const places = placesOf(name, files)
    const among = await useFindings(name, parsed.manifest.entries, places.fileOf, around)
    return { findings: sorted([...findings, ...among]), private: privateSources(parsed) }
  }
}

/** A name that no overlay can have is said before the directory is shown to somebody as if it could be pushed. */
function nameFindings(name: string): Finding[] {
  const checked = nameSchema.safeParse(name)
  if (checked.success) return []
  const message = `overlay name ${JSON.stringify(name)} ${checked.error.issues[0]?.message}`
  return [{ level: 'error', path: '', message }]
}

/** Mounted at `/api/overlays`. */
export const overlayLintRoutes = (services: Services, { lint }: { lint: Linter }) =>
  apiRoutes({ bodyLimit: overlayBodyLimit })
    .openapi(lintSent, async (c) => {
      const { name } = c.req.valid('param')
      return c.json(await lint(name, c.req.valid('json').files.map(sourceFileOf)), 200)
    })
    .openapi(lintPushed, async (c) => {
      const { name } = c.req.valid('param')
      const { files } = await overlayDirectory(services, name, c.req.valid('query').version)
      return c.json(await lint(name, files), 200)
    })
