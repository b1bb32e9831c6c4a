/**
 * Settings: the one shape that nodes and profiles share, every field optional.
 *
 * `null` in a field (or under a key of a map) clears what would be inherited there. What a field means is said here
 * and nowhere else; how settings of several profiles become one is `inherit.ts`.
 */
import { z } from '@hono/zod-openapi'
import { isHostAddress, isHostCidr } from './host-address.ts'
import { resourceFaults } from './known-resources.ts'
import { tagFaults } from './known-tags.ts'
import { hasUnitName } from './unit-name.ts'

const oneLine = /^[^\p{Cc}\p{Zl}\p{Zp}\p{Cs}]*$/u

/**
 * Any JSON value. Described by hand, because the generator of the API's description cannot cope with a schema that has
 * itself in it; a new schema each time, because it would share the description.
 */
export const jsonValue = (description = 'Any JSON value') =>
  z.json().openapi({ type: ['object', 'array', 'string', 'number', 'boolean', 'null'], description })

/** Text for people and files: one line, no control characters. */
const text = z.string().max(4096).regex(oneLine, 'must be one line without control characters')

/** A name that is safe in a path, a URL, a selector and a script. */
export const nameSchema = z
  .string()
  .max(128)
  .regex(
    /^[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?$/,
    'must be letters, digits, dots, dashes or underscores, and begin and end with a letter or digit',
  )

/** A node's name: a host name, perhaps with its domain (RFC 1123 §2.1), in lower case. */
export const nodeNameSchema = z
  .string()
  .max(253)
  .regex(
    /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*$/,
    'must be a host name: lower-case letters, digits and dashes, labels of at most 63, joined by dots',
  )

/** A hardware address: 6 bytes (Ethernet), 8 (InfiniBand port GUID) or 20 (IPoIB). Stored lower case with colons. */
export const macSchema = z
  .string()
  .transform((mac) => mac.trim().toLowerCase().replaceAll('-', ':'))
  .pipe(
    z
      .string()
      .regex(
        /^(?:[0-9a-f]{2}:){5}(?:[0-9a-f]{2}|[0-9a-f]{2}(?::[0-9a-f]{2}){2}|[0-9a-f]{2}(?::[0-9a-f]{2}){14})$/,
        'must be a MAC such as 52:54:00:12:34:56',
      ),
  )

/** What each form means is `image-reference.ts`. A tag is never all digits. */
const imageReference = z
  .string()
  .max(257)
  .regex(
    /^[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?(?:@(?:[1-9][0-9]{0,8}|sha256:[0-9a-f]{64}|(?![0-9]+$)[A-Za-z0-9_][A-Za-z0-9._-]{0,127}))?$/,
    'must be name, name@3, name@tag or name@sha256:…',
  )

/**
 * One kernel argument. A space may only stand inside double quotes (Documentation/admin-guide/kernel-parameters.rst).
 * What iPXE or GRUB would read as a command or an expansion is refused here, where the admin sees it; the boot script
 * refuses it once more.
 */
const kernelArgument = text
  .min(1)
  .max(1024)
  .regex(/^(?:[^\s"]|"[^"]*")+$/, 'must be one argument: spaces only inside double quotes')
  .refine((arg) => !arg.includes('${') && !arg.endsWith('$'), 'must not contain ${, which iPXE would expand')
  .refine(
    (arg) => !arg.split(/\s+/).some((word) => /^(?:\|\||&&|;|#.*)$/.test(word)),
    'must not contain a word that iPXE reads as an operator or a comment',
  )

const absolutePath = text
  .max(1024)
  .regex(/^(?!.*\/\.\.?(?:\/|$))\/[^\s]*$/, 'must be an absolute path without spaces, . or ..')
const size = z
  .string()
  .regex(/^(?:[1-9][0-9]{0,2}%|[1-9][0-9]{0,11}[KMGT]?)$/, 'must be a size such as 8G, 512M or 50%')
const hostName = z
  .string()
  .max(253)
  .regex(/^[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?$/, 'must be a host or domain name')
const address = z.union([z.ipv4(), z.ipv6()])

/** Root kinds in DESIGN order; a list of them is an order to try. */
const rootKinds = ['initramfs', 'tmpfs', 'zram', 'squashfs', 'disk'] as const
/** What a node's root file system lives in. */
export type RootKind = (typeof rootKinds)[number]
const rootKind = z.enum(rootKinds)

const tagKey = z
  .string()
  .max(64)
  .regex(/^[A-Za-z][A-Za-z0-9_-]*$/, 'must begin with a letter, then letters, digits, - or _')
const netdevName = z
  .string()
  .max(64)
  .regex(/^[A-Za-z0-9](?:[A-Za-z0-9_-]*[A-Za-z0-9])?$/, 'must be letters, digits, - or _')
const deviceName = z
  .string()
  .max(15)
  .regex(/^[A-Za-z0-9][A-Za-z0-9_.:-]*$/, 'must be an interface name of at most 15 characters')

/** Tags of a node or of a netdev: what `known-tags.ts` knows is checked. */
const tagsOf = (of: 'node' | 'netdev') =>
  z.record(tagKey, text.nullable()).superRefine((tags, { addIssue }) => {
    for (const fault of tagFaults(of, tags)) addIssue({ code: 'custom', ...fault })
  })

const noHost = 'must be the address of one machine: no multicast, broadcast or unspecified address, and no prefix of 0'

/** A network device, keyed by a name of the admin's choice. `mac`, `address` and `address6` belong to nodes alone. */
const netdev = z.strictObject({
  mac: macSchema.nullish(),
  device: deviceName.nullish(),
  type: z.enum(['ethernet', 'vlan', 'bond', 'infiniband']).nullish(),
  address: z
    .cidrv4({ error: 'must be an IPv4 address with its prefix, such as 10.0.0.1/24', abort: true })
    .refine(isHostCidr, noHost)
    .nullish(),
  address6: z
    .cidrv6({ error: 'must be an IPv6 address with its prefix, such as fd00::1/64', abort: true })
    .refine(isHostCidr, noHost)
    .nullish(),
  gateway: z.ipv4({ abort: true }).refine(isHostAddress, noHost).nullish(),
  gateway6: z.ipv6({ abort: true }).refine(isHostAddress, noHost).nullish(),
  mtu: z.int().min(68).max(65536).nullish(),
  primary: z.boolean().nullish(),
  vlan: z.strictObject({ id: z.int().min(1).max(4094).nullish(), parent: netdevName.nullish() }).nullish(),
  bond: z
    .strictObject({
      mode: z
        .enum(['balance-rr', 'active-backup', 'balance-xor', 'broadcast', '802.3ad', 'balance-tlb', 'balance-alb'])
        .nullish(),
      members: z.array(netdevName).nullish(),
      miimon: z.int().min(0).max(60000).nullish(),
    })
    .nullish(),
  dns: z.array(address).nullish(),
  tags: tagsOf('netdev').nullish(),
})

const partition = z.strictObject({
  label: z
    .string()
    .max(36)
    .regex(/^[A-Za-z0-9][A-Za-z0-9._-]*$/, 'must be a GPT name of letters, digits, dots, dashes or underscores'),
  size: size.optional(),
  filesystem: z.enum(['xfs', 'ext4', 'btrfs', 'vfat', 'swap']).optional(),
  mount: absolutePath.refine(hasUnitName, 'is too long to be mounted by systemd').optional(),
  options: z.array(text.regex(/^[^\s,]+$/, 'must be one option: no blanks and commas')).optional(),
  format: z.enum(['always', 'once']).optional(),
})

const disk = z.strictObject({
  match: z.union([
    absolutePath,
    z.literal('smallest nvme'),
    z.strictObject({
      path: absolutePath.optional(),
      size: z
        .string()
        .regex(/^[0-9]+[KMGT]?(?:-[0-9]+[KMGT]?)?$/)
        .optional(),
      model: text.optional(),
    }),
  ]),
  wipe: z.enum(['never', 'ours', 'always']).optional(),
  partitions: z.array(partition).optional(),
})

/** Settings as they are stored in a node or a profile. Unknown fields are refused by name. */
export const settingsSchema = z
  .strictObject({
    image: imageReference.nullish(),
    kernel: z
      .strictObject({
        version: text.max(128).nullish(),
        args: z.array(z.union([kernelArgument, z.string().regex(/^~/).pipe(text)])).nullish(),
      })
      .nullish(),
    root: z
      .strictObject({
        kind: z.union([rootKind, z.array(rootKind).min(1)]).nullish(),
        size: size.nullish(),
        filesystem: z.enum(['xfs', 'ext4', 'btrfs']).nullish(),
      })
      .nullish(),
    stages: z.union([z.literal(1), z.literal(2)]).nullish(),
    init: absolutePath.nullish(),
    script: nameSchema.nullish(),
    onFailure: z.enum(['retry', 'reboot', 'shell']).nullish(),
    overlays: z
      .strictObject({
        system: z
          .array(
            z
              .string()
              .regex(
                /^~?[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?$/,
                'must be an overlay name, or ~name to take it out',
              ),
          )
          .nullish(),
        runtime: z
          .array(
            z
              .string()
              .regex(
                /^~?[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?$/,
                'must be an overlay name, or ~name to take it out',
              ),
          )
          .nullish(),
      })
      .nullish(),
    runtimeInterval: z.int().min(10).max(86400).nullish(),
    netdevs: z.record(netdevName, netdev.nullable()).nullish(),
    domain: hostName.nullish(),
    nameservers: z.array(z.union([address, z.string().regex(/^~/).pipe(text)])).nullish(),
    search: z.array(z.union([hostName, z.string().regex(/^~/).pipe(text)])).nullish(),
    ntp: z.array(z.union([hostName, address, z.string().regex(/^~/).pipe(text)])).nullish(),
    timezone: z
      .string()
      .max(64)
      .regex(/^[A-Za-z0-9_+-]+(?:\/[A-Za-z0-9_+-]+)*$/, 'must be a zone such as America/Phoenix')
      .nullish(),
    disks: z.array(disk).nullish(),
    bmc: z
      .strictObject({
        address: address.nullish(),
        netmask: z.ipv4().nullish(),
        gateway: z.ipv4().nullish(),
        vlan: z.int().min(1).max(4094).nullish(),
        user: text.max(64).nullish(),
        password: z
          .string()
          // The names are those of `secret-names.ts`.
          .regex(/^secret:[A-Za-z][A-Za-z0-9_-]{0,63}$/, 'must name a secret: secret:NAME (never the password itself)')
          .nullish(),
        protocol: z.enum(['ipmi', 'redfish']).nullish(),
        interface: z.enum(['lan', 'lanplus', 'open']).nullish(),
        write: z.boolean().nullish(),
      })
      .nullish(),
    uuid: z
      .string()
      .transform((uuid) => uuid.toLowerCase())
      .pipe(z.guid())
      .nullish(),
    serial: text.max(128).nullish(),
    assetTag: text.max(128).nullish(),
    tags: tagsOf('node').nullish(),
    resources: z
      .record(tagKey, jsonValue())
      .superRefine((resources, { addIssue }) => {
        for (const fault of resourceFaults(resources)) addIssue({ code: 'custom', ...fault })
      })
      .nullish(),
    description: z.string().max(4096).nullish(),
  })
  .openapi('Settings')

/** Settings as they are stored: every field optional, `null` where something inherited is cleared. */
export type Settings = z.infer<typeof settingsSchema>

/** Fields that name one machine; a profile that had them would give them to many. */
export const nodeOnlyFields = ['uuid', 'serial', 'assetTag'] as const
/** Fields of a netdev that name one machine. */
export const nodeOnlyNetdevFields = ['mac', 'address', 'address6'] as const

/** Any JSON value, as `resources` may hold. */
export type Json = string | number | boolean | null | Json[] | { [key: string]: Json }

/** Settings after inheritance: the same shape with every `null` gone. */
export type Effective = Cleared<Omit<Settings, 'resources'>> & { resources?: Record<string, Json> }
type Cleared<T> = T extends (infer Item)[]
  ? Cleared<NonNullable<Item>>[]
  : T extends object
    ? { [K in keyof T]: Exclude<Cleared<NonNullable<T[K]>>, null> | Extract<T[K], undefined> }
    : T

/** A network device after inheritance. */
export type Netdev = NonNullable<NonNullable<Effective['netdevs']>[string]>
