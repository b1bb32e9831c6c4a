/** The API's description (OpenAPI 3.1), with what holds for every operation and no route says by itself. */
import type { OpenAPIHono } from '@hono/zod-openapi'
import { type ErrorCode, statusOf } from '../errors.ts'
import { scopeNeeded } from './guard.ts'

/** The document, as far as we look into it. */
export type ApiDocument = {
  openapi: string
  info: { title: string; version: string; description?: string }
  paths: Record<string, Record<string, Operation>>
  components: { schemas: Record<string, Schema>; securitySchemes: Record<string, unknown> }
}

/** One method of one path. */
export type Operation = {
  summary?: string
  description?: string
  tags?: string[]
  security?: Record<string, string[]>[]
  parameters?: Parameter[]
  requestBody?: { description?: string; required?: boolean; content: Content }
  responses: Record<string, { description: string; content?: Content }>
}

/** A parameter of an operation. */
export type Parameter = { name: string; in: string; required?: boolean; description?: string; schema: Schema }

/** A body, by media type. */
export type Content = Record<string, { schema?: Schema }>

/** A JSON schema, as far as the page shows it. */
export type Schema = {
  $ref?: string
  type?: string | string[]
  description?: string
  format?: string
  enum?: unknown[]
  const?: unknown
  pattern?: string
  minimum?: number
  maximum?: number
  items?: Schema
  properties?: Record<string, Schema>
  required?: string[]
  additionalProperties?: Schema | boolean
  anyOf?: Schema[]
  oneOf?: Schema[]
  allOf?: Schema[]
  example?: unknown
}

const refusedTokens = ['TOKEN_MISSING', 'TOKEN_INVALID', 'TOKEN_SCOPE'] as const

/** Codes that an operation answers whatever it is about: the page says them once. */
export const commonCodes: readonly ErrorCode[] = [
  'REQUEST_INVALID',
  'BODY_TOO_LARGE',
  ...refusedTokens,
  'REGISTRY_BUSY',
  'INTERNAL',
]

const methods = ['get', 'put', 'post', 'patch', 'delete'] as const

const description = `Errors have one shape, \`ErrorResponse\`, and a code of the table below. A thing's \`ETag\` is the revision that \
last changed it: send it as \`If-Match\` with an edit, and an edit of something else is refused. \`?message=\` says why an edit \
is made; its revision keeps that.`

/** The description of every route that is mounted in the app by now. */
export function describeApi(app: OpenAPIHono): ApiDocument {
  const document = app.getOpenAPI31Document({
    openapi: '3.1.0',
    info: { title: 'Muster', version: '1', description },
  })
  // The generator's types allow for everything that OpenAPI does; ours say what it writes for our routes.
  const api = correctPatterns(document) as unknown as ApiDocument
  api.components = {
    ...api.components,
    securitySchemes: { token: { type: 'http', scheme: 'bearer', description: '`muster token create NAME`' } },
  }
  for (const [path, operations] of Object.entries(api.paths)) {
    for (const method of methods) {
      const operation = operations[method]
      if (operation) operations[method] = completed(operation, method.toUpperCase(), path)
    }
  }
  return api
}

/** The codes that an error response of the document names. */
export const codesIn = (response: { description: string }): string[] => response.description.split(', ')

function completed(operation: Operation, method: string, path: string): Operation {
  const scope = scopeNeeded(method, path)
  const input = operation.parameters || operation.requestBody
  const takesJson = operation.requestBody?.content['application/json'] !== undefined
  const always: ErrorCode[] = [
    ...(input ? (['REQUEST_INVALID'] as const) : []),
    ...(takesJson ? (['BODY_TOO_LARGE'] as const) : []),
    ...(scope ? refusedTokens : []),
    ...(method === 'GET' ? [] : (['REGISTRY_BUSY'] as const)),
    'INTERNAL',
  ]
  const responses = { ...operation.responses }
  for (const code of always) {
    const status = String(statusOf[code])
    const known = responses[status]
    const codes = known ? codesIn(known) : []
    if (codes.includes(code)) continue
    responses[status] = {
      content: { 'application/json': { schema: { $ref: '#/components/schemas/ErrorResponse' } } },
      ...known,
      description: [...codes, code].join(', '),
    }
  }
  return {
    ...operation,
    tags: [tagOf(path)],
    security: scope ? [{ token: [scope] }] : [],
    responses,
  }
}

/** The group of a path: its first part below `/api`, or `about` for what is about the API itself. */
function tagOf(path: string): string {
  const [, , noun = '', part] = path.split('/')
  return part === undefined && ['openapi.json', 'docs', 'whoami'].includes(noun) ? 'about' : noun
}

/** The generator writes a regular expression with flags as `…/u`; JSON Schema has no flags, and reads every pattern as Unicode. */
const correctPatterns = (document: unknown): unknown =>
  JSON.parse(JSON.stringify(document), (key, value) =>
    key === 'pattern' && typeof value === 'string' ? value.replace(/\/[a-z]+$/, '') : value,
  )
