/** Who edits, when and why, and how: what every edit's request may say. */
import { z } from '@hono/zod-openapi'
import type { Context } from 'hono'
import { AppError } from '../errors.ts'
import type { Editor } from '../registry/revisions.ts'
import type { Services } from '../services.ts'
import type { ApiEnv } from './guard.ts'
import { flag } from './page.ts'

const messageSchema = z
  .string()
  .max(1000)
  .regex(/^[^\p{Cc}\p{Cs}]*$/u, 'must be one line without control characters')

/** Query of every edit. */
export const editQuery = z.object({
  message: messageSchema.optional().openapi({ description: 'Why: the revision keeps it. So does a header X-Message.' }),
})

/** Query of edits that can be tried. */
export const dryRunQuery = {
  dryRun: flag.optional().openapi({ description: 'Check and compute everything, commit nothing' }),
}

/** Query of merge patches: `null` in the patch removes an own value, this hides what is inherited. */
export const clearQuery = {
  clear: z
    .string()
    .transform((text) => text.split(',').filter((path) => path !== ''))
    .optional()
    .openapi({
      type: 'string',
      description: 'Fields to clear, so that they hide what profiles say',
      example: 'kernel.args,ntp',
    }),
}

/** The editor of a request: its token's name, the clock, and `?message=` or `X-Message`. Throws `REQUEST_INVALID`. */
export function editorOf(c: Context<ApiEnv>, { now }: Pick<Services, 'now'>): Editor {
  const message = messageSchema.safeParse(c.req.query('message') ?? c.req.header('x-message') ?? '')
  if (!message.success)
    throw new AppError('REQUEST_INVALID', `the message ${message.error.issues[0]?.message}`, { field: 'message' })
  return { author: c.get('bearer').name, at: now(), message: message.data }
}
