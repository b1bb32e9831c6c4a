/** What every file of routes under `/api` begins with. */
import { OpenAPIHono } from '@hono/zod-openapi'
import { AppError } from '../errors.ts'
import { faultsOf } from '../registry/faults.ts'
import { notModified } from './etag.ts'
import type { ApiEnv } from './guard.ts'
import { jsonBody } from './json-body.ts'

const mebibyte = 1024 * 1024

/**
 * An app for routes under `/api`: a GET with the ETag that the caller has is answered 304; JSON bodies have a limit (1 MiB unless said otherwise), and what fails validation is
 * `SETTINGS_INVALID` or `REQUEST_INVALID` with all faults. (Without a hook, zod-openapi answers by itself, past `onError`.)
 */
export function apiRoutes({ bodyLimit = mebibyte }: { bodyLimit?: number } = {}): OpenAPIHono<ApiEnv> {
  const routes = new OpenAPIHono<ApiEnv>({
    defaultHook: (result) => {
      if (result.success) return
      const faults = faultsOf(result.error)
      const [first] = faults
      const ofSettings = result.target === 'json' && /^(?:settings|profiles)\b/.test(first?.field ?? '')
      const where = first?.field ? `${first.field}: ` : ''
      throw new AppError(ofSettings ? 'SETTINGS_INVALID' : 'REQUEST_INVALID', `${where}${first?.message}`, {
        ...(first?.field && { field: first.field }),
        faults,
      })
    },
  })
  routes.use(notModified)
  routes.use(jsonBody(bodyLimit))
  return routes
}
