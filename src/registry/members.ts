/** What nodes and profiles have in common: names of profiles, settings, and how input for them is checked. Pure. */
import { z } from '@hono/zod-openapi'
import { AppError } from '../errors.ts'
import { faultsOf } from './faults.ts'
import type { Member } from './inherit.ts'
import { clearPaths, mergePatch } from './merge-patch.ts'
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
  const faults = faultsOf(result.error)
  const first = faults[0] ?? { field: '', message: 'is not valid' }
  throw new AppError('SETTINGS_INVALID', `${first.field || 'the document'}: ${first.message}`, {
    field: first.field,
    faults,
  })
}

/**
 * A member's input with a merge patch applied, and then `null` stored at the paths of `clear` (dotted, below `settings`).
 * Throws `SETTINGS_INVALID`. Pure.
 */
export function patchMember(before: MemberInput, patch: unknown, clear: readonly string[]): MemberInput {
  const merged = parseMember(mergePatch({ profiles: before.profiles, settings: before.settings }, patch))
  return clear.length === 0 ? merged : parseMember({ ...merged, settings: clearPaths(merged.settings, clear) })
}

/** Throws `SETTINGS_INVALID` when settings for several nodes (a profile's, a bulk edit's) carry what belongs to one machine. */
export function refuseNodeFields(settings: Settings): void {
  const refuse = (field: string) => {
    throw new AppError('SETTINGS_INVALID', `${field} belongs to one node, and several would get it`, { field })
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

/** Throws `REVISION_CONFLICT` when a caller edits something other than what it saw; `'*'` is anything that exists. */
export function checkRevision(
  thing: string,
  stored: { revision: number } | undefined,
  expected: number | '*' | undefined,
): void {
  if (expected === undefined || stored?.revision === expected || (stored && expected === '*')) return
  const found = stored ? `is at revision ${stored.revision}, not at ${expected}` : 'does not exist'
  throw new AppError('REVISION_CONFLICT', `${thing} ${found}: read it again, then edit`)
}
