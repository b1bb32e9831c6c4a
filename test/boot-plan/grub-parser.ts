/** Reads GRUB scripts, as far as ours go: words with quotes, variables, comments, and what separates commands (GRUB manual §5). */

/** A word as GRUB would pass it, with the names of the variables that it was made of. */
export type GrubWord = { text: string; variables: string[] }

/** The commands of a script, each as its words. Throws for what is no script. */
export function parseGrub(script: string): GrubWord[][] {
  const commands: GrubWord[][] = []
  let command: GrubWord[] = []
  let word: GrubWord | undefined
  const endWord = () => {
    if (word) command.push(word)
    word = undefined
  }
  const endCommand = () => {
    endWord()
    if (command.length > 0) commands.push(command)
    command = []
  }
  const add = (text: string) => {
    word ??= { text: '', variables: [] }
    word.text += text
  }
  for (let at = 0; at < script.length; at++) {
    const char = script.charAt(at)
    if (char === "'") {
      const end = script.indexOf("'", at + 1)
      if (end < 0) throw new Error(`a quote that nobody closes at ${at}`)
      add(script.slice(at + 1, end))
      at = end
    } else if (char === '"') {
      const end = script.indexOf('"', at + 1)
      const inner = script.slice(at + 1, end)
      if (end < 0 || inner.includes('\\')) throw new Error(`a string that our scripts do not have at ${at}`)
      add(inner)
      for (const [, name = ''] of inner.matchAll(/\$(\w+)/g)) word?.variables.push(name)
      at = end
    } else if (char === '\\') {
      add(script.charAt(++at))
    } else if (char === '$') {
      const [name = ''] = /^\w+/.exec(script.slice(at + 1)) ?? []
      add('')
      word?.variables.push(name)
      at += name.length
    } else if (char === '#' && !word) {
      at = script.indexOf('\n', at) - 1
    } else if (char === ' ' || char === '\t') endWord()
    else if ('\n;'.includes(char)) endCommand()
    else if ('{}|&<>'.includes(char)) throw new Error(`an operator that our scripts do not have at ${at}: ${char}`)
    else add(char)
  }
  endCommand()
  return commands
}

/** What of a script must not depend on data: commands, how many words they have, and variables. */
export const grubStructureOf = (script: string) =>
  parseGrub(script).map((words) => ({
    name: words[0]?.text,
    words: words.length,
    variables: words.flatMap(({ variables }) => variables),
  }))
