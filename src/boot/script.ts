/** Boot scripts: a template of `boot-assets/ipxe` or `boot-assets/grub`, and what may stand in it. */
import type { Assets } from '../assets/assets.ts'
import { hexOf } from '../blobs/digest.ts'
import { AppError } from '../errors.ts'
import type { BlobReference } from '../images/manifest.ts'
import { parseTemplate, renderTemplate, type Template } from '../overlays/template.ts'
import { grubArgument, grubFile, grubWord } from './grub.ts'
import { ipxeText, type Place, unsafe } from './ipxe.ts'
import type { Loader } from './loaders.ts'
import type { BootPlan } from './plan.ts'

/** An initrd: the name that the kernel's command line knows it by, and where it is. */
export type Initrd = { name: string; url: string }

/** What a script's template may name. What is absent is not known to that script: no `boot` in the one for strangers. */
export type ScriptView = {
  cluster: string
  head: { url: string }
  /** Where the script asks again, for itself or for another. */
  again: string
  /** A number of seconds by which machines differ that were switched on together. */
  jitter: string
  mac?: string | undefined
  node?: { name: string }
  /** Why a known node cannot boot now. */
  why?: string
  image?: BootPlan['image']
  kernel?: { version: string }
  root?: { kind: string; size: string | undefined }
  init?: string
  onFailure?: string
  tags?: Record<string, string>
  boot?: { kernel: string; initrds: Initrd[]; args: string[]; beacon: string }
}

/**
 * What is different in every answer, in the place of the real thing: a script is rendered once for all nodes that boot the
 * same, and these are filled in for each (see {@link fillScript}).
 */
export const holes = {
  node: 'muster-hole-node',
  mac: 'muster-hole-mac',
  attempt: 'muster-hole-attempt',
  jitter: 'muster-hole-jitter',
} as const

/** What goes into the holes. */
export type Filling = { [Hole in keyof typeof holes]: string }

/**
 * A rendered script, cut at its holes: texts and, at every odd place, the name of a hole. `excess` is by how much its UTF-8
 * is longer than its UTF-16; what fills the holes is ASCII.
 */
export type Script = { parts: readonly string[]; excess: number }

/** A script for one machine, and its size in bytes. */
export type ScriptText = { text: string; size: number }

const holePattern = /muster-hole-(node|mac|attempt|jitter)/
const plainWord = /^[A-Za-z0-9.:][A-Za-z0-9.:-]*$/

/** A function that answers a template of `boot-assets`, parsed once per version of the assets; `undefined` for none. */
export function scriptTemplates(assets: Assets): (path: string) => Promise<Template | undefined> {
  let parsed = { version: assets.version(), templates: new Map<string, Template>() }
  return async (path) => {
    const version = assets.version()
    if (parsed.version !== version) parsed = { version, templates: new Map() }
    const known = parsed.templates.get(path)
    if (known) return known
    const { templates } = parsed
    const text = await assets.text(path)
    if (text === undefined) return undefined
    const template = parseTemplate(text, path)
    templates.set(path, template)
    return template
  }
}

/** Where the template of a script is. */
export const scriptPath = (loader: Loader, name: string): string =>
  loader === 'ipxe' ? `ipxe/${name}.ipxe` : name === 'default' ? 'grub/grub.cfg' : `grub/${name}.cfg`

/**
 * The script. Whatever the template reads is checked for what it could do to the script's structure (see ipxe.ts and
 * grub.ts); `{{{x}}}` is no way round it. Throws `SCRIPT_UNSAFE`, and `TEMPLATE_INVALID` for names that are not there.
 */
export function renderScript(template: Template, path: string, loader: Loader, view: ScriptView): Script {
  const write = loader === 'ipxe' ? ipxeText : grubText
  const text = renderTemplate(template, path, guarded(view, '', write) as Record<string, unknown>)
  return { parts: text.split(holePattern), excess: new TextEncoder().encode(text).length - text.length }
}

/** The script for one machine. Throws `SCRIPT_UNSAFE` when a filling is more than letters, digits, dots, colons and dashes. */
export function fillScript({ parts, excess }: Script, filling: Filling): ScriptText {
  for (const hole of Object.keys(holes) as (keyof Filling)[])
    if (!plainWord.test(filling[hole])) throw unsafe(hole, filling[hole], 'in a boot script')
  let text = ''
  for (let at = 0; at < parts.length; at++) {
    const part = parts[at] ?? ''
    text += at % 2 === 0 ? part : filling[part as keyof Filling]
  }
  return { text, size: text.length + excess }
}

/** What a script of a planned node names. URLs have holes where node and attempt come in. */
export function plannedView(
  plan: BootPlan,
  loader: Loader,
  around: { cluster: string; url: string; tags: Record<string, string>; root: BlobReference },
): ScriptView {
  const { url, cluster, tags, root } = around
  const fileOf = (path: string) => fileUrl(loader, `${url}${path}`)
  const mine = `/boot/${holes.mac}/${holes.attempt}`
  return {
    cluster,
    head: { url },
    again: againUrl(loader, url),
    jitter: holes.jitter,
    mac: holes.mac,
    node: { name: holes.node },
    image: plan.image,
    kernel: { version: plan.kernel.version },
    root: { kind: plan.root.mode, size: plan.root.limit },
    init: plan.init,
    onFailure: plan.onFailure,
    tags,
    boot: {
      kernel: fileOf(blobPath(plan.kernel)),
      initrds: [
        { name: 'root.img', url: fileOf(blobPath(root)) },
        { name: 'ticket.img', url: fileOf(`${mine}/ticket.cpio`) },
        { name: 'system.img', url: fileOf(`${mine}/system.cpio`) },
        ...(plan.overlays.runtime.length > 0 ? [{ name: 'runtime.img', url: fileOf(`${mine}/runtime.cpio`) }] : []),
      ],
      args: plan.args,
      beacon: `${url}${mine}/beacon`,
    },
  }
}

/** Where a script of this loader asks again. iPXE begins anew, so that every NIC gets its turn. */
export const againUrl = (loader: Loader, url: string): string =>
  loader === 'ipxe' ? `${url}/boot.ipxe` : fileUrl(loader, `${url}/boot/${holes.mac}/grub.cfg`)

const blobPath = ({ digest }: { digest: BootPlan['kernel']['digest'] }): string => `/blobs/sha256/${hexOf(digest)}`

function fileUrl(loader: Loader, url: string): string {
  const file = loader === 'ipxe' ? url : grubFile(url)
  if (file !== undefined) return file
  throw new AppError('PLAN_IMPOSSIBLE', `GRUB cannot fetch ${url}: give the service an http URL for it`)
}

type Write = (text: string, field: string, place: Place) => string

const grubText: Write = (text, field, place) =>
  place === 'argument' ? grubArgument(text, field) : grubWord(text, field)

/** The same value, whose texts are checked, and quoted where that is how it is done, at the moment that they are read. */
function guarded(value: unknown, field: string, write: Write): unknown {
  if (typeof value === 'string') return write(value, field, placeOf(field))
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map((item, at) => guarded(item, `${field}.${at}`, write))
  const copy = {}
  for (const [key, inner] of Object.entries(value)) {
    const path = field === '' ? key : `${field}.${key}`
    Object.defineProperty(copy, key, { enumerable: true, get: () => guarded(inner, path, write) })
  }
  return copy
}

function placeOf(field: string): Place {
  if (field.startsWith('boot.args')) return 'argument'
  return field === 'cluster' || field === 'why' || field.startsWith('tags.') ? 'text' : 'word'
}
