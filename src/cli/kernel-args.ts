/** Kernel arguments as people type them: one line, spaces only inside double quotes. Pure. */

/**
 * Splits a line at white space outside double quotes; the quotes stay, as the kernel wants them
 * (Documentation/admin-guide/kernel-parameters.rst). `undefined` when a quote is never closed.
 */
export function splitKernelArgs(line: string): string[] | undefined {
  const args: string[] = []
  let current = ''
  let quoted = false
  for (const character of line) {
    if (character === '"') quoted = !quoted
    if (!quoted && /\s/.test(character)) {
      if (current !== '') args.push(current)
      current = ''
    } else {
      current += character
    }
  }
  if (quoted) return undefined
  return current === '' ? args : [...args, current]
}
