/** Overlay lists as text (see `tree.ts`), read back: what a node was given, and where two lists differ. Pure. */

/** A line of a list. */
export type ListedEntry = {
  path: string
  type: 'file' | 'link' | 'directory' | 'removal'
  /** Permission bits, owner and group; absent for a removal. */
  mode?: number
  uid?: number
  gid?: number
  /** sha256 (hex) of a file's content or a link's target; absent for a private one of a masked list, and for all others. */
  digest?: string
  /** True for what has content that the list does not tell the digest of. */
  private: boolean
  /** What is done when it changes, as text, in order. */
  actions: string
}

const types = { f: 'file', l: 'link', d: 'directory', r: 'removal' } as const

/** Reads a list. Lines that this version does not understand are passed over: a list may be of an older one. */
export function parseList(list: string): ListedEntry[] {
  const actions = new Map<string, string>()
  const entries: ListedEntry[] = []
  for (const line of list.split('\n')) {
    const [, number, what] = /^action ([0-9]+) (.*)$/.exec(line) ?? []
    if (number !== undefined) actions.set(number, `${actions.get(number) ?? ''}${what}\n`)
    const [, letter = '', mode = '', uid, gid, digest = '-', numbers = '', path = ''] =
      /^([fldr]) ([0-7]{4}|-) ([0-9]+|-) ([0-9]+|-) ([0-9a-f]{64}|-) (\S+) (\/.*)$/.exec(line) ?? []
    if (path === '') continue
    const type = types[letter as keyof typeof types]
    const hasContent = type === 'file' || type === 'link'
    entries.push({
      path,
      type,
      ...(type !== 'removal' && { mode: Number.parseInt(mode, 8), uid: Number(uid), gid: Number(gid) }),
      ...(digest !== '-' && { digest }),
      private: hasContent && digest === '-',
      actions: numbers
        .split(',')
        .map((one) => actions.get(one) ?? '')
        .join(''),
    })
  }
  return entries
}

/** Paths that stand in one list only, or differently in both, sorted. Contents that a list hides count as the same. */
export function differences(has: readonly ListedEntry[], wants: readonly ListedEntry[]): string[] {
  const before = new Map(has.map((entry) => [entry.path, entry]))
  const after = new Map(wants.map((entry) => [entry.path, entry]))
  const paths = new Set([...before.keys(), ...after.keys()])
  return [...paths].filter((path) => !sameEntry(before.get(path), after.get(path))).sort()
}

function sameEntry(one: ListedEntry | undefined, other: ListedEntry | undefined): boolean {
  if (!one || !other) return one === other
  const fields = ['type', 'mode', 'uid', 'gid', 'actions'] as const
  if (fields.some((field) => one[field] !== other[field])) return false
  return one.private || other.private || one.digest === other.digest
}
