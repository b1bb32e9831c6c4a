/** What secrets are called, and whose they can be. */
import { z } from '@hono/zod-openapi'
import { nameSchema, nodeNameSchema } from './settings.ts'

/**
 * A name that templates can say: `{{secrets.munge_key}}`. What ends in `_pub` is the public half of a key pair, which
 * nobody sets.
 */
export const secretNameSchema = z
  .string()
  .max(64)
  .regex(/^[A-Za-z][A-Za-z0-9_-]*$/, 'must begin with a letter, then letters, digits, _ or -')
  .refine((name) => !name.endsWith('_pub'), 'must not end in _pub: NAME_pub is the public half of the key pair NAME')

/** `cluster`, `profile:NAME` or `node:NAME`. */
export type SecretOwner = 'cluster' | `profile:${string}` | `node:${string}`

/** Whose a secret is. */
export const secretOwnerSchema = z
  .string()
  .max(300)
  .refine(isOwner, 'must be cluster, profile:NAME or node:NAME')
  .transform((owner) => owner as SecretOwner)

/** A text that is an owner: what the grammar says, which a type cannot. */
function isOwner(text: string): boolean {
  const [, kind, name] = /^(profile|node):(.*)$/s.exec(text) ?? []
  if (kind === 'profile') return nameSchema.safeParse(name).success
  return kind === 'node' ? nodeNameSchema.safeParse(name).success : text === 'cluster'
}
