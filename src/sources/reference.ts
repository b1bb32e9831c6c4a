/**
 * Names of images in registries: `[registry/]repository[:tag][@digest]`. Pure. The grammar is that of the OCI distribution
 * spec ("Pulling manifests") and, for what may be left out, of containers-transports(5).
 */
import { type Digest, parseDigest } from '../blobs/digest.ts'
import { AppError } from '../errors.ts'

/** An image in a registry. With a digest the tag is for people. */
export type Reference = {
  /** `docker.io`, `registry.example.com:5000`. */
  registry: string
  /** `library/rockylinux`. */
  repository: string
  tag?: string
  digest?: Digest
}

const registryGrammar =
  /^(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*|\[[0-9a-fA-F:.]+\])(?::[0-9]{1,5})?$/
const partGrammar = /^[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*$/
const tagGrammar = /^\w[\w.-]{0,127}$/

/** Names under which Docker Hub is known. */
const dockerHub = ['docker.io', 'index.docker.io', 'registry-1.docker.io']

/** Reads what stands behind `docker://`. Throws `REQUEST_INVALID`, and never shows what could be a password. */
export function parseReference(text: string): Reference {
  const [, named = '', pinned] = /^(.*?)(?:@([a-z0-9+._-]+:[0-9a-zA-Z]*))?$/s.exec(text) ?? []
  if (named.includes('@')) {
    const way = 'leave them out, and log in with `podman login` or `docker login`'
    throw new AppError('REQUEST_INVALID', `a name in a registry carries no user and no password: ${way}`)
  }
  const digest = pinned === undefined ? undefined : pinOf(text, pinned)
  const slash = named.indexOf('/')
  const first = slash < 0 ? '' : named.slice(0, slash)
  const hasRegistry = /[.:]/.test(first) || first === 'localhost'
  const path = hasRegistry ? named.slice(slash + 1) : named
  const [, bare = '', tag] = /^([^:]*)(?::(.*))?$/s.exec(path) ?? []
  const registry = !hasRegistry || dockerHub.includes(first.toLowerCase()) ? 'docker.io' : first.toLowerCase()
  const repository = registry === 'docker.io' && !bare.includes('/') ? `library/${bare}` : bare
  if (!registryGrammar.test(registry)) throw bad(text, `${first} is no registry`)
  if (repository.length > 255 || !repository.split('/').every((part) => partGrammar.test(part))) {
    throw bad(text, `${bare || 'nothing'} is no repository: lower-case letters, digits, and . _ - between them`)
  }
  if (tag !== undefined && !tagGrammar.test(tag)) throw bad(text, `${tag || 'nothing'} is no tag`)
  if (tag === undefined && digest === undefined) return { registry, repository, tag: 'latest' }
  return { registry, repository, ...(tag !== undefined && { tag }), ...(digest && { digest }) }
}

/** The whole name: `docker.io/library/rockylinux:9`. */
export const referenceText = ({ registry, repository, tag, digest }: Reference): string =>
  `${registry}/${repository}${tag === undefined ? '' : `:${tag}`}${digest === undefined ? '' : `@${digest}`}`

/** Host and port that answer for a registry: Docker Hub's is not its name. */
export const hostOf = (registry: string): string => (registry === 'docker.io' ? 'registry-1.docker.io' : registry)

function pinOf(text: string, pinned: string): Digest {
  try {
    return parseDigest(pinned)
  } catch {
    throw bad(text, 'what follows @ is no sha256 digest, the only kind that Muster reads')
  }
}

const bad = (text: string, fault: string): AppError =>
  new AppError('REQUEST_INVALID', `${JSON.stringify(text.slice(0, 300))}: ${fault}`)
