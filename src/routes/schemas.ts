/** Shapes on the wire that more than one file of routes uses, and how routes name what they refuse. */
import { z } from '@hono/zod-openapi'
import { type ErrorCode, statusOf } from '../errors.ts'
import type { StoredMember } from '../registry/members.ts'
import type { Change, Revision } from '../registry/revisions.ts'
import { jsonValue, settingsSchema } from '../registry/settings.ts'

/** Every error's body. */
const errorResponse = z
  .object({
    code: z.enum(Object.keys(statusOf) as [ErrorCode, ...ErrorCode[]]).openapi('ErrorCode'),
    message: z.string().openapi({ description: 'Names the thing and, where there is one, the way out' }),
    field: z.string().optional().openapi({ description: 'The field at fault, when it is one' }),
    faults: z
      .array(z.object({ field: z.string(), message: z.string() }))
      .optional()
      .openapi({ description: 'Everything that is wrong with the input' }),
  })
  .openapi('ErrorResponse')

/** JSON of a shape, as a route's body or response has it. */
export const json = <Schema extends z.ZodType>(schema: Schema, description: string) => ({
  description,
  content: { 'application/json': { schema } },
})

/** A JSON body that must be there. */
export const jsonRequest = <Schema extends z.ZodType>(schema: Schema, description: string) => ({
  ...json(schema, description),
  required: true as const,
})

/**
 * The error responses of a route, for its document: one response a status, naming its codes. What every route may answer
 * (a token, a fault of ours) is added in `docs.ts`. The type is empty, because handlers throw and never return these.
 */
export function refusals(...codes: ErrorCode[]): object {
  const byStatus = Map.groupBy(codes, (code) => statusOf[code])
  return Object.fromEntries([...byStatus].map(([status, some]) => [status, json(errorResponse, some.join(', '))]))
}

/** `{name}` in a path. */
export const nameParam = z.object({ name: z.string().min(1).max(256) })

/** A time, ISO 8601 in UTC. */
export const time = z.iso.datetime().openapi({ example: '2026-01-31T12:00:00.000Z' })

/** A node or a profile. */
export const memberSchema = z
  .object({
    name: z.string().openapi({ example: 'n001' }),
    profiles: z.array(z.string()).openapi({ description: 'In the order in which they apply' }),
    settings: settingsSchema,
    revision: z.int().openapi({ description: 'The revision that last changed it: its ETag' }),
    changedAt: time,
  })
  .openapi('Member')

/** A merge patch (RFC 7396) of a node or a profile: `null` removes a value of its own. */
export const memberPatch = z
  .strictObject({
    profiles: z.array(z.string()).nullable().optional(),
    settings: z.record(z.string(), jsonValue()).nullable().optional().openapi({
      type: 'object',
      description: 'A merge patch (RFC 7396) of Settings: null removes the own value',
    }),
  })
  .openapi('MemberPatch')

/** What an edit changes of one thing. */
const changeSchema = z
  .object({
    noun: z.enum(['node', 'profile', 'image', 'rollout', 'overlay', 'secret', 'token']),
    name: z.string(),
    before: jsonValue('The document before, null for what was made'),
    after: jsonValue('The document after, null for what was deleted'),
  })
  .openapi('Change')

/** What an edit would do, answered to `dryRun=true`: nothing was committed. */
export const dryRunSchema = z
  .object({
    revision: z.int().openapi({ description: "The registry's revision that this was computed from" }),
    changes: z.array(changeSchema),
  })
  .openapi('DryRun')

/** What a bulk edit did, or with `changes`, would do. */
export const bulkSchema = z
  .object({
    revision: z
      .int()
      .openapi({ description: "The registry's revision afterwards, or the one a dry run was computed from" }),
    nodes: z.array(z.string()).openapi({ description: 'The nodes that the edit meant' }),
    changes: z.array(changeSchema).optional().openapi({ description: 'In the answer to a dry run' }),
  })
  .openapi('BulkEdit')

/** `select` in a query. */
export const selectParameter = z.string().openapi({
  description:
    'Which nodes: n[001-100,200], gpu*, profile:gpu, tag:rack=r12, image:rocky9, with , for or, & for and, ! for not',
  example: 'n[001-100]&!tag:rack=r12',
})

/** Where a setting comes from. */
export const explanationSchema = z
  .object({
    field: z.string().openapi({ example: 'kernel.args' }),
    value: jsonValue('null: cleared'),
    from: z.array(z.string()).openapi({ example: ['profile:gpu'] }),
    hidden: z.array(z.object({ from: z.string(), value: jsonValue() })),
  })
  .openapi('Explanation')

/** A revision, without what it changed. */
export const revisionSchema = z
  .object({
    id: z.int(),
    at: time,
    author: z.string().openapi({ description: 'Name of the token' }),
    message: z.string(),
  })
  .openapi('Revision')

/** A revision with what it changed. */
export const fullRevisionSchema = revisionSchema.extend({ changes: z.array(changeSchema) }).openapi('FullRevision')

/** A page of something, by name. */
export const namePage = <Item extends z.ZodType>(item: Item) =>
  z.object({ items: z.array(item), next: z.string().nullable().openapi({ description: '`after` of the next page' }) })

/** A page of something, by revision. */
export const revisionPage = <Item extends z.ZodType>(item: Item) =>
  z.object({ items: z.array(item), next: z.int().nullable().openapi({ description: '`before` of the next page' }) })

/** A node or a profile on the wire. */
export const memberBody = ({ name, profiles, settings, revision, changedAt }: StoredMember) => ({
  name,
  profiles,
  settings,
  revision,
  changedAt: changedAt.toISOString(),
})

/** A revision on the wire. */
export const revisionBody = ({ id, at, author, message }: Omit<Revision, 'changes'>) => ({
  id,
  at: at.toISOString(),
  author,
  message,
})

/** A revision on the wire, with its changes. */
export const fullRevisionBody = (revision: Revision): z.infer<typeof fullRevisionSchema> => ({
  ...revisionBody(revision),
  changes: revision.changes.map(changeBody),
})

/** A change on the wire. */
export const changeBody = ({ noun, name, before, after }: Change): z.infer<typeof changeSchema> => ({
  noun,
  name,
  before,
  after,
})
