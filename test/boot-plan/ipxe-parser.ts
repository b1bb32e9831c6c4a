/**
 * Reads scripts as iPXE does: lines and labels after src/image/script.c, words and operators after src/core/exec.c,
 * expansions after src/core/settings.c. Works on bytes, as iPXE does, which are characters U+0000 to U+00FF here.
 */

/** One command of a line: its words, and the operator behind it. */
export type IpxeCommand = { words: string[]; operator: string | undefined }
/** One line, after continuations are joined. */
export type IpxeLine = { label: string | undefined; commands: IpxeCommand[] }

/** The lines of a script. */
export function parseIpxe(script: string): IpxeLine[] {
  const bytes = Buffer.from(script, 'utf8').toString('latin1')
  const lines: IpxeLine[] = []
  let line = ''
  for (const fragment of bytes.split('\n')) {
    line += fragment
    if (line.endsWith('\r')) line = line.slice(0, -1)
    if (line.endsWith('\\')) {
      line = line.slice(0, -1)
      continue
    }
    // Everything is a C string.
    lines.push(parseLine(line.split('\0')[0] ?? ''))
    line = ''
  }
  return lines
}

/** Names of the settings that a word is expanded with, innermost first. */
export function expansions(word: string): string[] {
  const names: string[] = []
  for (let text = word; ; ) {
    const end = text.indexOf('}', text.indexOf('${'))
    const start = text.lastIndexOf('${', end)
    if (text.indexOf('${') < 0 || end < 0) return names
    names.push(text.slice(start + 2, end))
    text = text.slice(0, start) + text.slice(end + 1)
  }
}

/** What of a script must not depend on data: labels, command names, operators, and what is expanded. */
export const structureOf = (script: string) =>
  parseIpxe(script).map(({ label, commands }) => ({
    label,
    commands: commands.map(({ words, operator }) => ({
      name: words[0],
      operator,
      expansions: words.flatMap(expansions),
    })),
  }))

function parseLine(line: string): IpxeLine {
  const labelled = /^[ \f\n\r\t\v]*:([^ \f\n\r\t\v]*)(.*)$/s.exec(line)
  const words = (labelled ? (labelled[2] ?? '') : line).split(/[ \f\n\r\t\v]+/).filter((word) => word !== '')
  const comment = words.findIndex((word) => word.startsWith('#'))
  const commands: IpxeCommand[] = []
  let command: string[] = []
  for (const word of comment < 0 ? words : words.slice(0, comment)) {
    if (word === '||' || word === '&&' || word === ';') {
      commands.push({ words: command, operator: word })
      command = []
    } else command.push(word)
  }
  commands.push({ words: command, operator: undefined })
  return { label: labelled?.[1], commands }
}
