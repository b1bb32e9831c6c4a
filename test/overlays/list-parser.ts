/** A strict reader of overlay lists: what the text says, or an error with the line that says nothing. Written from the format's own description. */

/** A line that speaks of a path. */
export type ListLine = {
  line: number
  type: 'd' | 'f' | 'l' | 'r'
  mode: string
  uid: string
  gid: string
  digest: string
  actions: string[][]
  path: string
}

/** Reads a list; an action is its lines without their number. Throws for anything that the format does not have. */
export function parseStrictly(list: string): ListLine[] {
  if (!list.endsWith('\n')) throw new Error('the last line does not end')
  const [title, ...lines] = list.slice(0, -1).split('\n')
  if (title !== 'muster-overlay 1') throw new Error(`not a list: ${title}`)
  const actions: string[][] = []
  const entries: ListLine[] = []
  for (const [at, line] of lines.entries()) {
    const [, number, what] = /^action ([1-9][0-9]*) (unit \S+|argv [^ \n](?:[^\n]*[^ \n])?)$/.exec(line) ?? []
    if (number !== undefined && what !== undefined) {
      if (entries.length > 0) throw new Error(`an action after the first path: ${line}`)
      const last = actions.length
      const goesOn = Number(number) === last && what.startsWith('argv ') && actions.at(-1)?.[0]?.startsWith('argv ')
      if (goesOn) actions.at(-1)?.push(what)
      else if (Number(number) === last + 1) actions.push([what])
      else throw new Error(`action out of order: ${line}`)
      continue
    }
    const fields =
      /^([dfl]) ([0-7]{4}) ([0-9]+) ([0-9]+) (-|[0-9a-f]{64}) (-|[1-9][0-9]*(?:,[1-9][0-9]*)*) (\/[^\n]*[^ \n])$/.exec(
        line,
      ) ?? /^(r) (-) (-) (-) (-) (-|[1-9][0-9]*(?:,[1-9][0-9]*)*) (\/[^\n]*[^ \n])$/.exec(line)
    const [, type = '', mode = '', uid = '', gid = '', digest = '', numbers = '', path = ''] = fields ?? []
    if (!fields) throw new Error(`no line of a list: ${line}`)
    if ((digest !== '-') !== (type === 'f' || type === 'l')) throw new Error(`digest of a ${type}: ${line}`)
    if (path <= (entries.at(-1)?.path ?? '')) throw new Error(`out of order: ${line}`)
    const named = numbers === '-' ? [] : numbers.split(',').map((one) => actions[Number(one) - 1])
    if (named.some((one) => one === undefined)) throw new Error(`names an action that is not there: ${line}`)
    entries.push({
      line: at + 2,
      type: type as ListLine['type'],
      mode,
      uid,
      gid,
      digest,
      actions: named as string[][],
      path,
    })
  }
  return entries
}
