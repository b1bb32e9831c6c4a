/** What nodes and profiles have in common: names of profiles, settings, and how input for them is checked. Pure. */
import { z } from '@hono/zod-openapi'
import { AppError } from '../errors.ts'
import type { Member } from './inherit.ts'
import {
  type Json,
  nameSchema,
  nodeOnlyFields,
  nodeOnlyNetdevFields,
  type Settings,
  settingsSchema,
} from './settings.ts'

/** What a request may say of a node or a profile. */
export const memberInputSchema = z
  .object({
    profiles: z.array(nameSchema).max(64).default([]),
    settings: settingsSchema.default({}),
  })
  .openapi('MemberInput')

/** Profiles and settings, checked. */
export type MemberInput = { profiles: string[]; settings: Settings }

/** A node or profile as the registry has it. `revision` is its ETag: the revision that last changed it. */
export type StoredMember = Member & { revision: number; changedAt: Date }

/** Checks input. Throws `SETTINGS_INVALID` with every fault and its field. */
export function parseMember(input: unknown): MemberInput {
  const result = memberInputSchema.safeParse(input)
  if (result.success) return result.data
  const faults = result.error.issues.map((issue) => ({ field: issue.path.join('.'), message: issue.message }))
  const first = faults[0] ?? { field: '', message: 'is not valid' }
  throw new AppError('SETTINGS_INVALID', `${first.field || 'the document'}: ${first.message}`, {
    field: first.field,
    faults,
  })
}

/** Throws `SETTINGS_INVALID` when a profile carries what belongs to one machine. */
export function refuseNodeFields(settings: Settings): void {
  const refuse = (field: string) => {
    throw new AppError('SETTINGS_INVALID', `${field} belongs to a node: every node of the profile would get it`, {
      field,
    })
  }
  for (const field of nodeOnlyFields) if (settings[field] != null) refuse(`settings.${field}`)
  for (const [name, netdev] of Object.entries(settings.netdevs ?? {})) {
    for (const field of nodeOnlyNetdevFields) if (netdev?.[field] != null) refuse(`settings.netdevs.${name}.${field}`)
  }
}

/** A member as a revision remembers it. */
export const documentOf = (member: MemberInput): Json => ({
  profiles: member.profiles,
  settings: member.settings as Json,
})

/** Throws `REVISION_CONFLICT` when a caller edits something other than what it saw. */
export function checkRevision(
  thing: string,
  stored: { revision: number } | undefined,
  expected: number | undefined,
): void {
  if (expected === undefined || stored?.revision === expected) return
  const found = stored ? `is at revision ${stored.revision}` : 'does not exist'
  throw new AppError('REVISION_CONFLICT', `${thing} ${found}, not at ${expected}: read it again, then edit`)
}
