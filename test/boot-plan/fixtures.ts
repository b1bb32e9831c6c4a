/** Services on a new directory, and nodes, profiles and images to put into their registry. */
import { fileURLToPath } from 'node:url'
import { createJournal } from '../../src/activity/journal.ts'
import { createPresence } from '../../src/activity/presence.ts'
import type { Assets } from '../../src/assets/assets.ts'
import { fsAssets } from '../../src/assets/fs.ts'
import { createToken } from '../../src/auth/tokens.ts'
import { digestOf } from '../../src/blobs/digest.ts'
import { foundRootArchives } from '../../src/images/found-roots.ts'
import { type Architecture, type CpioRoot, type ImageManifest, summaryOf } from '../../src/images/manifest.ts'
import { canonicalJson } from '../../src/registry/canonical.ts'
import { addVersion } from '../../src/registry/images.ts'
import { parseMember } from '../../src/registry/members.ts'
import { changeNodes } from '../../src/registry/nodes.ts'
import { changeProfile } from '../../src/registry/profiles.ts'
import { type RegistryDatabase, rootArchives, type Scope } from '../../src/registry/schema.ts'
import type { Settings } from '../../src/registry/settings.ts'
import { createSecretKey } from '../../src/secrets/seal.ts'
import type { Services } from '../../src/services.ts'
import { sqliteDatabases } from '../databases.ts'

const editor = { author: 'test', at: new Date('2026-01-31T12:00:00Z') }

/** What tests put into a registry. */
export type Seeds = {
  /** Makes a node; `mac` goes to its netdev `default`. */
  seedNode(name: string, mac: string, settings?: Settings, profiles?: string[]): Promise<void>
  seedProfile(name: string, settings: Settings, profiles?: string[]): Promise<void>
  /** Adds a version of an image, whose blobs are not there, with the root archive of {@link imageRoot}. */
  seedImage(name: string, changes?: Partial<ImageManifest>): Promise<void>
  seedToken(scope: Scope): Promise<string>
}

/** Seeds for a registry. */
export const seedsFor = (registry: RegistryDatabase): Seeds => ({
  async seedNode(name, mac, settings = {}, profiles = []) {
    const { netdevs } = settings
    const input = parseMember({
      profiles,
      settings: { ...settings, netdevs: { ...netdevs, default: { ...netdevs?.default, mac } } },
    })
    await changeNodes(
      registry,
      editor,
      async () => [name],
      () => input,
    )
  },
  async seedProfile(name, settings, profiles = []) {
    await changeProfile(registry, editor, name, () => parseMember({ profiles, settings }))
  },
  async seedImage(name, changes = {}) {
    const manifest = { ...(await imageManifest(name)), ...changes }
    const digest = await digestOf(new TextEncoder().encode(canonicalJson(manifest)))
    const summary = summaryOf(manifest)
    const root = await imageRoot(name)
    await registry.batch([registry.insert(rootArchives).values({ image: digest, root }).onConflictDoNothing()])
    await addVersion(registry, editor, { image: name, digest, summary, source: 'test', provenance: {}, current: true })
  },
  async seedToken(scope) {
    return (await createToken(registry, { name: scope, scope }, editor)).token
  },
})

/** A manifest with two kernels. Its digests depend on the name alone. */
export async function imageManifest(name: string, architecture: Architecture = 'x86_64'): Promise<ImageManifest> {
  const blob = async (what: string, size: number) => ({
    digest: await digestOf(new TextEncoder().encode(`${name} ${what}`)),
    size,
  })
  const kernel = async (version: string) => ({
    version,
    path: `/boot/vmlinuz-${version}`,
    ...(await blob(version, 14_000_000)),
  })
  return {
    schema: 1,
    architecture,
    kernels: [await kernel('6.12.0-55.el10'), await kernel('5.14.0-570.el9')],
    compression: 'zstd',
    segments: [{ ...(await blob('segment', 650_000_000)), unpackedSize: 2_050_000_000, entries: 40_000 }],
    index: { ...(await blob('index', 900_000)), unpackedSize: 6_000_000 },
    entries: 40_000,
    unpackedSize: 2_000_000_000,
    warnings: [],
  }
}

/** The root archive of an image of {@link imageManifest}. */
export const imageRoot = async (name: string): Promise<CpioRoot> => ({
  digest: await digestOf(new TextEncoder().encode(`${name} root`)),
  size: 700_000_000,
  unpackedSize: 2_010_000_000,
  warnings: [],
})

/** The address that the services of tests go by. */
export const url = 'http://10.0.0.1:9873'

/** A clock that stands still until it is told. */
export type Clock = { now: () => Date; forward(minutes: number): void }

/** A clock at noon. */
export function stoppedClock(): Clock {
  let time = Date.parse('2026-01-31T12:00:00Z')
  return {
    now: () => new Date(time),
    forward: (minutes) => {
      time += minutes * 60_000
    },
  }
}

/** Services, and what tests look at from outside. */
export type TestServices = Seeds & {
  services: Services
  clock: Clock
  logged: string[]
  close(): Promise<void>
}

/** Services with the shipped assets; `change` puts others in. */
export async function testServices(
  change: (services: Services) => Partial<Services> = () => ({}),
): Promise<TestServices> {
  const databases = await sqliteDatabases()
  const logged: string[] = []
  const log: Services['log'] = (level, message, facts) =>
    logged.push(`${level} ${message} ${JSON.stringify(facts ?? {})}`)
  const clock = stoppedClock()
  const base: Services = {
    registry: databases.registry,
    activity: databases.activity,
    journal: createJournal({ database: databases.activity, log, schedule: () => {}, now: clock.now }),
    presence: createPresence(100),
    blobs: unusedBlobs,
    roots: foundRootArchives(databases.registry),
    assets: shippedAssets(),
    url,
    cluster: 'cluster',
    secretKey: await createSecretKey(new Uint8Array(32).fill(7), 'the key of tests'),
    privateTo: 'node',
    now: clock.now,
    log,
  }
  const services = { ...base, ...change(base) }
  return { services, clock, logged, ...seedsFor(services.registry), close: databases.close }
}

/** What is in `boot-assets/`. */
export const shippedAssets = (site: string[] = []): Assets =>
  fsAssets([...site, fileURLToPath(new URL('../../boot-assets', import.meta.url))])

/** Boot routes name blobs and never look at them. */
const unused = () => {
  throw new Error('boot routes must not look at blobs')
}
const unusedBlobs: Services['blobs'] = {
  stat: unused,
  open: unused,
  put: unused,
  add: unused,
  keep: unused,
  delete: unused,
  check: unused,
  quarantine: unused,
  list: unused,
}
