/**
 * What a list of overlays (system or runtime) comes to on one node, as the node is told it: the list, by whose digest it is
 * known, and the contents that it names.
 *
 * The list is text, LF at the end of each line, fields parted by one blank, the path last because it may have blanks in it:
 *
 *     muster-overlay 1
 *     action 1 unit chronyd.service                what to do when a path with action 1 came, changed or went
 *     action 2 argv /usr/sbin/postmap              one line for each argument
 *     action 2 argv /etc/postfix/virtual
 *     d 0755 0 0 - - /etc/chrony.d                 TYPE MODE UID GID DIGEST ACTIONS PATH
 *     f 0644 0 0 HEX 1 /etc/chrony.d/site.conf     HEX: sha256 of the content; ACTIONS: numbers joined by commas, or -
 *     l 0777 0 0 HEX - /etc/localtime              HEX: sha256 of the target
 *     r - - - - - /etc/motd.d/cockpit              is taken away
 *
 * Actions are numbered in the order of their first use, entries sorted by path. A node names contents by the number of
 * their line, counted from 1. Digests make the list's own digest pin every byte. Directories that no overlay speaks of are
 * not in the list: a node makes those that it lacks, with the mode that `directoryMode` of path.ts says.
 */
import { type Digest, digestOf, hexOf } from '../blobs/digest.ts'
import { AppError } from '../errors.ts'
import type { Reload } from './manifest.ts'
import type { RenderedFile } from './render.ts'

/** A list and what it names. */
export type OverlayTree = {
  /** By path. Line numbers of the list, counted from 1, of those that have content: `lines` of the same index, else 0. */
  files: RenderedFile[]
  lines: number[]
  /** The text of the list. */
  list: string
  digest: Digest
  /** The same without private files: the part that a machine can be given before it has proved which node it is. */
  public: { list: string; digest: Digest }
  /** Whether there are private files. */
  private: boolean
}

/** The digest of bytes, or of a text as UTF-8, at once or later. */
export type DigestData = (data: Uint8Array<ArrayBuffer> | string) => Digest | Promise<Digest>

/** What the first line says: the format and its version. */
const title = 'muster-overlay 1\n'

const encoder = new TextEncoder()

/** Web Crypto hashes elsewhere, so what is larger than this does not hold up other requests. */
const atOnce = 256 * 1024
/** To hash this much costs no more than to look up that it was done: a WeakMap of many keys costs the garbage collector most. */
const notWorthKeeping = 4096

/**
 * Names data at once where `digest` can and it is little. Large contents that are the same object are hashed once while it
 * lives, so that a file which all nodes share costs nothing for the second: whoever changes bytes in place breaks that.
 */
export function contentDigests(digest?: (data: Uint8Array | string) => Digest): DigestData {
  const known = new WeakMap<Uint8Array, Digest | Promise<Digest>>()
  return (data) => {
    if (digest && data.length <= notWorthKeeping) return digest(data)
    if (typeof data === 'string') return digest && data.length <= atOnce ? digest(data) : digestOf(encoder.encode(data))
    const found = known.get(data)
    if (found !== undefined) return found
    const made = digest && data.length <= atOnce ? digest(data) : digestOf(data)
    known.set(data, made)
    if (typeof made !== 'string')
      made.then(
        (text) => known.set(data, text),
        () => known.delete(data),
      )
    return made
  }
}

/**
 * The tree of files as `renderOverlays` answers them: sorted by path, each path once. Throws `OVERLAY_INVALID` for an action
 * that the list cannot carry.
 */
export async function treeOf(files: RenderedFile[], digest: DigestData): Promise<OverlayTree> {
  const digests = await allOf(files.map((file) => contentOf(file, digest)))
  const { text: list, lines } = listOf(files, digests, () => true)
  const isPrivate = files.some((file) => file.private === true)
  const whole = { list, digest: await digest(list) }
  const open = isPrivate ? await publicOf(files, digests, digest) : whole
  return { files, lines, ...whole, public: open, private: isPrivate }
}

/** The tree of the public part: what a node gets that cannot have its private files. */
export const publicTree = (tree: OverlayTree, digest: DigestData): OverlayTree | Promise<OverlayTree> =>
  tree.private
    ? treeOf(
        tree.files.filter((file) => file.private !== true),
        digest,
      )
    : tree

async function publicOf(files: RenderedFile[], digests: readonly string[], digest: DigestData) {
  const { text: list } = listOf(files, digests, (file) => file.private !== true)
  return { list, digest: await digest(list) }
}

/** The list with `-` for the digests of private files: what may be told about a node that has them. */
export const maskedList = ({ files, lines, list }: OverlayTree): string => {
  const hidden = new Set(lines.filter((_line, at) => files[at]?.private === true))
  if (hidden.size === 0) return list
  return list
    .split('\n')
    .map((line, at) => (hidden.has(at + 1) ? line.replace(/ [0-9a-f]{64} /, ' - ') : line))
    .join('\n')
}

/** What a line of the list names: a file's content, a link's target; `undefined` for all others. */
export function contentAt({ files, lines }: OverlayTree, line: number): Uint8Array<ArrayBuffer> | undefined {
  const file = line > 0 ? files[lines.indexOf(line)] : undefined
  if (file?.type === 'file') return file.content
  return file?.type === 'link' ? encoder.encode(file.target) : undefined
}

/** Without a wait when all of them are there. */
const allOf = async (digests: (string | Promise<string>)[]): Promise<string[]> => {
  const known = digests.filter((one) => typeof one === 'string')
  return known.length === digests.length ? known : Promise.all(digests)
}

/** 64 hexadecimal digits; `-` for what has no content. */
const contentOf = (file: RenderedFile, digest: DigestData): string | Promise<string> => {
  if (file.type !== 'file' && file.type !== 'link') return '-'
  const made = digest(file.type === 'file' ? file.content : file.target)
  return typeof made === 'string' ? hexOf(made) : made.then(hexOf)
}

/** The text, and for each file (also for those that are left out) the number of its line if it has content, else 0. */
function listOf(
  files: readonly RenderedFile[],
  digests: readonly string[],
  isListed: (file: RenderedFile) => boolean,
): { text: string; lines: number[] } {
  const numbers = new Map<string, number>()
  let head = title
  let headLines = 1
  const rows: { row: string; at: number }[] = []
  for (const [at, file] of files.entries()) {
    if (!isListed(file)) continue
    const actions = (file.reload ?? []).map((action) => {
      const known = numbers.get(keyOf(action))
      if (known !== undefined) return known
      const number = numbers.size + 1
      numbers.set(keyOf(action), number)
      for (const line of actionLines(file, action)) {
        head += `action ${number} ${line}\n`
        headLines++
      }
      return number
    })
    const list = actions.length > 0 ? [...new Set(actions)].join(',') : '-'
    rows.push({ row: rowOf(file, digests[at] ?? '-', list), at })
  }
  const lines = files.map(() => 0)
  let text = head
  for (const [index, { row, at }] of rows.entries()) {
    text += row
    if (digests[at] !== '-') lines[at] = headLines + index + 1
  }
  return { text, lines }
}

const keyOf = (action: Reload): string => JSON.stringify('unit' in action ? action.unit : action.argv)

function actionLines(file: RenderedFile, action: Reload): string[] {
  const lines = 'unit' in action ? [`unit ${action.unit}`] : action.argv.map((argument) => `argv ${argument}`)
  // Parsing refuses these too; a version that was pushed before that must not say something else on the node.
  const odd = lines.find((line) => /[\u0000-\u001f\u007f]| $|^\w+ (?: |$)/.test(line))
  if (odd === undefined && lines.length > 0) return lines
  throw new AppError(
    'OVERLAY_INVALID',
    `overlay ${file.overlay}: ${file.path} has a reload with ${odd === undefined ? 'nothing in it' : JSON.stringify(odd.slice(5, 100))}, which no node can be told: arguments are not empty, and have no control characters and no blanks at their ends`,
  )
}

/** A link's own mode means nothing to Linux (symlink(7)), so it is always told as 0777. */
function rowOf(file: RenderedFile, digest: string, actions: string): string {
  if (file.type === 'removal') return `r - - - - ${actions} ${file.path}\n`
  const mode = file.type === 'link' ? '0777' : file.mode.toString(8).padStart(4, '0')
  return `${typeLetters[file.type]} ${mode} ${file.uid} ${file.gid} ${digest} ${actions} ${file.path}\n`
}

const typeLetters = { file: 'f', link: 'l', directory: 'd' } as const
