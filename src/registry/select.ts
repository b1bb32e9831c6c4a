/** Which nodes a selector means. What a selector looks like is `selector.ts`. */
import { AppError } from '../errors.ts'
import { inherit, lineage } from './inherit.ts'
import type { StoredMember } from './members.ts'
import { foldNames } from './name-ranges.ts'
import { listNodes, nodesNamed } from './nodes.ts'
import { profileMap } from './profiles.ts'
import type { RegistryDatabase } from './schema.ts'
import { parseSelector, type Selector } from './selector.ts'

/** What a selector may ask of a node. Asked for only when the selector does: inheritance costs more than a name. */
export type Facts = {
  name: string
  /** Every profile that applies, with parents. */
  profiles(): ReadonlySet<string>
  /** Tags after inheritance. */
  tags(): Readonly<Record<string, string>>
  /** The image after inheritance, as the settings name it: `rocky9`, `rocky9@3`. */
  image(): string | undefined
}

/** True when the selector means the node. Pure. */
export function matches(selector: Selector, facts: Facts): boolean {
  switch (selector.kind) {
    case 'names':
      return selector.names.has(facts.name)
    case 'globs':
      return selector.globs.some((glob) => matchesGlob(glob, facts.name))
    case 'profile':
      return facts.profiles().has(selector.profile)
    case 'tag': {
      const tags = facts.tags()
      if (!Object.hasOwn(tags, selector.key)) return false
      return selector.value === undefined || tags[selector.key] === selector.value
    }
    case 'image': {
      const image = facts.image()
      return image === selector.image || image?.split('@')[0] === selector.image
    }
    case 'any':
      return selector.of.some((one) => matches(one, facts))
    case 'all':
      return selector.of.every((one) => matches(one, facts))
    case 'not':
      return !matches(selector.of, facts)
  }
}

/**
 * The nodes that a selector means, by name. Reads only the named ones where the selector says names, else all. Throws
 * `SELECTOR_INVALID`.
 */
export async function selectNodes(
  db: RegistryDatabase,
  text: string,
  page: { after?: string | undefined; limit?: number | undefined } = {},
): Promise<StoredMember[]> {
  const selector = parseSelector(text)
  const [rows, profiles] = await Promise.all([candidates(db, selector, page.after), profilesFor(db, selector)])
  const found: StoredMember[] = []
  for (const node of rows) {
    if (found.length === page.limit) break
    if (matches(selector, factsOf(node, profiles))) found.push(node)
  }
  return found
}

/**
 * Names of the nodes that an edit means. Throws `NODE_UNKNOWN` when the selector names a node that is not there, or finds
 * none at all: an edit that does nothing was meant to do something.
 */
export async function selectForEdit(db: RegistryDatabase, text: string): Promise<string[]> {
  const literal = [...literalNames(parseSelector(text))]
  const [found, known] = await Promise.all([selectNodes(db, text), nodesNamed(db, literal)])
  const unknown = literal.filter((name) => !known.has(name))
  if (unknown.length > 0) throw new AppError('NODE_UNKNOWN', `no node ${shorten(foldNames(unknown))}`)
  if (found.length === 0) throw new AppError('NODE_UNKNOWN', `no node matches ${shorten(text)}`)
  return found.map((node) => node.name)
}

async function candidates(
  db: RegistryDatabase,
  selector: Selector,
  after: string | undefined,
): Promise<StoredMember[]> {
  const bound = boundOf(selector)
  if (!bound) return listNodes(db, after === undefined ? {} : { after })
  const names = [...bound].filter((name) => after === undefined || name > after)
  const nodes = await nodesNamed(db, names)
  return [...nodes.values()].sort((a, b) => (a.name < b.name ? -1 : 1))
}

/** Names outside of which the selector means nobody; `undefined` when it may mean any node. */
function boundOf(selector: Selector): ReadonlySet<string> | undefined {
  if (selector.kind === 'names') return selector.names
  if (selector.kind !== 'any' && selector.kind !== 'all') return undefined
  const bounds = selector.of.map(boundOf)
  const known = bounds.filter((bound) => bound !== undefined)
  if (selector.kind === 'all') return known.sort((a, b) => a.size - b.size)[0]
  return known.length === bounds.length ? new Set(known.flatMap((bound) => [...bound])) : undefined
}

function literalNames(selector: Selector): Set<string> {
  if (selector.kind === 'names') return new Set(selector.names)
  if (selector.kind === 'not') return literalNames(selector.of)
  if (selector.kind !== 'any' && selector.kind !== 'all') return new Set()
  return new Set(selector.of.flatMap((one) => [...literalNames(one)]))
}

const profilesFor = async (db: RegistryDatabase, selector: Selector): Promise<Map<string, StoredMember>> =>
  asksSettings(selector) ? profileMap(db) : new Map()

function asksSettings(selector: Selector): boolean {
  if (selector.kind === 'not') return asksSettings(selector.of)
  if (selector.kind === 'any' || selector.kind === 'all') return selector.of.some(asksSettings)
  return selector.kind !== 'names' && selector.kind !== 'globs'
}

function factsOf(node: StoredMember, profiles: ReadonlyMap<string, StoredMember>): Facts {
  return {
    name: node.name,
    profiles: () => new Set(lineage(node, profiles).map((profile) => profile.name)),
    tags: () => inherit(node, profiles).tags ?? {},
    image: () => inherit(node, profiles).image,
  }
}

/** `*` is any text, `?` any one character. Without regular expressions, because stars in a row make those explode. */
function matchesGlob(glob: string, name: string): boolean {
  let [at, from] = [0, 0]
  let star: { at: number; from: number } | undefined
  while (from < name.length) {
    if (glob[at] === '*') star = { at: at++, from }
    else if (at < glob.length && (glob[at] === '?' || glob[at] === name[from])) {
      at++
      from++
    } else if (star) {
      at = star.at + 1
      from = ++star.from
    } else return false
  }
  while (glob[at] === '*') at++
  return at === glob.length
}

const shorten = (text: string): string => (text.length > 200 ? `${text.slice(0, 200)}…` : text)
