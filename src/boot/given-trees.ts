/** Tells the journal what nodes were given, so that it can be said later how what they have differs from what they would get. */
import { type Digest, hexOf } from '../blobs/digest.ts'
import { maskedList, type OverlayTree } from '../overlays/tree.ts'
import type { Services } from '../services.ts'

/** Notes lists that were given. */
export type GivenTrees = {
  /** The whole list of a node, which it gets over HTTP. */
  whole(tree: OverlayTree): void
  /** The public part, which is in archives for its kernel. */
  open(tree: OverlayTree): void
}

/** Lists and texts that are not told again. */
const mostKnown = 50_000
/** Larger texts are not worth a look at how they differ. */
const largestText = 64 * 1024

/** Tells each list and each text once in the life of the process, or again when many others came meanwhile. */
export function givenTrees({ journal, now }: Pick<Services, 'journal' | 'now'>): GivenTrees {
  const lists = new Set<string>()
  const texts = new Set<string>()

  /** Whether it is new here. The oldest makes room. */
  const isNews = (known: Set<string>, digest: string): boolean => {
    if (known.has(digest)) return false
    known.add(digest)
    const [oldest] = known
    if (known.size > mostKnown && oldest !== undefined) known.delete(oldest)
    return true
  }

  const newTexts = ({ files, lines, list }: OverlayTree) => {
    const rows = list.split('\n')
    return files.flatMap((file, at) => {
      if (file.type !== 'file' || file.private === true || file.content.length > largestText) return []
      const digest = digestIn(rows[(lines[at] ?? 0) - 1])
      if (digest === undefined || !isNews(texts, digest)) return []
      const content = textOf(file.content)
      return content === undefined ? [] : [{ digest, content }]
    })
  }

  const tell = (tree: OverlayTree, digest: Digest, list: () => string) => {
    const hex = hexOf(digest)
    if (!isNews(lists, hex)) return
    journal.record({ type: 'tree', digest: hex, list: list(), texts: newTexts(tree), at: now() })
  }

  return {
    whole: (tree) => tell(tree, tree.digest, () => maskedList(tree)),
    open: (tree) => tell(tree, tree.public.digest, () => tree.public.list),
  }
}

/** `f 0644 0 0 HEX - /etc/motd`: the fifth field. */
const digestIn = (row: string | undefined): string | undefined => row?.split(' ', 5)[4]

/** UTF-8 as text; `undefined` for what is none. */
function textOf(content: Uint8Array): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(content)
  } catch {
    return undefined
  }
}
