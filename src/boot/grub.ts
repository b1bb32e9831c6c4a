/**
 * What may stand in a GRUB script: anything on one line, in single quotes. Inside of them nothing but the quote itself means
 * anything (GRUB manual §5.2, "Quoting").
 */
import { lineFault, unsafe } from './ipxe.ts'

/** The text as one word of a GRUB script. Throws `SCRIPT_UNSAFE`, naming field and text, for what is not one line. */
export function grubWord(text: string, field: string): string {
  const fault = lineFault(text)
  if (fault !== undefined) throw unsafe(field, text, `in a GRUB script: it ${fault}`)
  return `'${text.replaceAll("'", "'\\''")}'`
}

/**
 * A kernel argument as one word. GRUB writes the kernel's command line itself: it puts an argument with a blank into double
 * quotes, and a backslash before every quote and backslash, which the kernel does not understand (grub:
 * grub-core/lib/cmdline.c). So quotes around a whole value are left to GRUB, and others are refused.
 */
export function grubArgument(text: string, field: string): string {
  const [, name = '', value] = /^([^"]*)"([^"]*)"$/.exec(text) ?? []
  const plain = value !== undefined && (name === '' || name.endsWith('=')) ? name + value : text
  if (/["'\\]/.test(plain))
    throw unsafe(field, text, 'in a GRUB script: GRUB would put a backslash before its quotes and backslashes')
  return grubWord(plain, field)
}

/** `http://host:port/path` as GRUB names files: `(http,host:port)/path`. `undefined` for what GRUB cannot fetch. */
export function grubFile(url: string): string | undefined {
  const [, authority, path] = /^http:\/\/([^/]+)(\/.*)$/.exec(url) ?? []
  return path === undefined ? undefined : `(http,${authority})${path}`
}
