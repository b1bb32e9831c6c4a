/**
 * Resources that shipped overlays read, and what they must be. The values are stored as they were given; `null` clears.
 * Everything here ends up in files of one line each, so that no text may have a line break or the file's own separator.
 */
import { z } from '@hono/zod-openapi'
import { deviceOf, hasUnitName } from './unit-name.ts'

const word = z
  .string()
  .min(1)
  .max(1024)
  .regex(/^[^\s\p{Cc}\p{Zl}\p{Zp}\p{Cs}]*$/u, 'must be one word without blanks')
const digit = z.union([z.int().min(0).max(9), z.string().regex(/^[0-9]$/)], 'must be a digit')
/** 2^32 - 1 means "no change" to chown(2). */
const id = z.union(
  [z.int().min(0).max(4_294_967_294), z.string().regex(/^(?:0|[1-9][0-9]{0,8})$/)],
  'must be a number from 0 to 4294967294',
)
/** useradd(8), with capitals and dots as directories have them. */
const accountName = z
  .string()
  .regex(/^[A-Za-z_][A-Za-z0-9_.-]{0,30}[A-Za-z0-9_$-]?$/, 'must be the name of an account, at most 32 characters')
const accountPath = z
  .string()
  .max(1024)
  .regex(/^\/[^\s:\p{Cc}\p{Zl}\p{Zp}\p{Cs}]*$/u, 'must be an absolute path without blanks and colons')

/** Entries of fstab(5), as the peer's resource of that name has them: `spec` and `file` are needed. */
export const fstabSchema = z
  .array(
    z
      .strictObject({
        spec: word.refine((spec) => !/^#|\\$/.test(spec), 'must not begin with # or end with a backslash'),
        file: word
          .refine((file) => /^(?!.*\/\.\.?(?:\/|$))\/[^\\]*$/.test(file) || file === 'none' || file === 'swap', {
            message: 'must be an absolute path without . and .., or none for swap',
          })
          .refine(hasUnitName, 'is too long to be mounted by systemd'),
        vfstype: z
          .string()
          .regex(/^[A-Za-z0-9][A-Za-z0-9._+,-]{0,63}$/, 'must be a type of file system')
          .optional(),
        mntops: word.refine((options) => !options.endsWith('\\'), 'must not end with a backslash').optional(),
        freq: digit.optional(),
        passno: digit.optional(),
      })
      .refine(({ spec, vfstype }) => vfstype !== 'swap' || isSwapDevice(deviceOf(spec)), {
        message: 'must be a path, LABEL=…, UUID=…, PARTLABEL=… or PARTUUID=… for swap',
        path: ['spec'],
      }),
    'must be a list of entries with spec and file',
  )
  .max(500)

const isSwapDevice = (device: string): boolean => /^(?!.*\/\.\.?(?:\/|$))\/./.test(device) && hasUnitName(device)

/** Users that nodes have besides their image's: as useradd(8) would make them. */
const localUsersSchema = z
  .array(
    z.strictObject({
      name: accountName,
      uid: id,
      gid: id.optional(),
      gecos: z
        .string()
        .max(1024)
        .regex(/^[^:\p{Cc}\p{Zl}\p{Zp}\p{Cs}]*$/u, 'must be one line without colons')
        .optional(),
      home: accountPath.optional(),
      shell: accountPath.optional(),
    }),
    'must be a list of users with name and uid',
  )
  .max(5000)

/** Groups that nodes have besides their image's. `members` is a list, or names joined by commas. */
const localGroupsSchema = z
  .array(
    z.strictObject({
      name: accountName,
      gid: id,
      members: z
        .union([z.array(accountName).max(5000), z.string().regex(/^(?:[A-Za-z0-9_.$-]+(?:,[A-Za-z0-9_.$-]+)*)?$/)])
        .optional(),
    }),
    'must be a list of groups with name and gid',
  )
  .max(5000)

/** Lines of authorized_keys(5). */
const authorizedKeysSchema = z
  .array(
    z
      .string()
      .max(16_384)
      .regex(/^[^\p{Cc}\p{Zl}\p{Zp}\p{Cs}]*$/u, 'must be one line'),
    'must be a list of lines',
  )
  .max(1000)

/** Each known resource with its schema. */
const knownResources: Record<string, z.ZodType> = {
  fstab: fstabSchema,
  localusers: localUsersSchema,
  localgroups: localGroupsSchema,
  sshAuthorizedKeys: authorizedKeysSchema,
}

/** What is wrong with known resources: where, from the resource's name on, and what. */
export function resourceFaults(
  resources: Readonly<Record<string, unknown>>,
): { path: PropertyKey[]; message: string }[] {
  return Object.entries(resources).flatMap(([name, value]) => {
    const schema = Object.hasOwn(knownResources, name) ? knownResources[name] : undefined
    if (!schema || value === null || value === undefined) return []
    return (schema.safeParse(value).error?.issues ?? []).map(({ path, message }) => ({
      path: [name, ...path],
      message,
    }))
  })
}
