/** `/api/openapi.json` and `/api/docs`: what the API is, for programs and for people. No token. */
import { createRoute, type OpenAPIHono, z } from '@hono/zod-openapi'
import { apiRoutes } from './api-routes.ts'
import { docsPage } from './docs-page.ts'
import { describeApi } from './openapi.ts'
import { json } from './schemas.ts'

const readDocument = createRoute({
  method: 'get',
  path: '/openapi.json',
  summary: 'Get this description, as OpenAPI 3.1',
  responses: { 200: json(z.looseObject({ openapi: z.string() }), 'The document') },
})

const readPage = createRoute({
  method: 'get',
  path: '/docs',
  summary: 'Read this description as a page',
  responses: { 200: { description: 'HTML', content: { 'text/html': { schema: z.string() } } } },
})

/** Mounted at `/api`, for the app that has all other routes: what is mounted when it is asked is described. */
export const docsRoutes = (app: OpenAPIHono) =>
  apiRoutes()
    .openapi(readDocument, (c) => c.json({ ...describeApi(app) }, 200))
    .openapi(readPage, async (c) => {
      // The page is one file without scripts; nothing that it shows comes from the registry.
      c.header('Content-Security-Policy', "default-src 'none'; style-src 'unsafe-inline'")
      return c.html(await docsPage(describeApi(app)), 200)
    })
