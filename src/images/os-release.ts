/** Reads os-release(5): what a distribution says it is. No shell is involved, so nothing in it runs. */
import type { ImageManifest } from './manifest.ts'

/** Where it stands, in the order of os-release(5). */
export const osReleasePaths = ['etc/os-release', 'usr/lib/os-release']

/** More than any distribution writes. */
export const longestOsRelease = 65_536

/** `ID`, `VERSION_ID` and `PRETTY_NAME`, with the defaults of os-release(5). Lines that are no assignment say nothing. */
export function parseOsRelease(text: string): NonNullable<ImageManifest['os']> {
  const values = new Map<string, string>()
  for (const line of text.split('\n').map((raw) => raw.trim())) {
    const [name, ...rest] = line.split('=')
    if (name !== undefined && /^[A-Z][A-Z0-9_]*$/.test(name)) values.set(name, oneLine(unquoted(rest.join('='))))
  }
  const version = values.get('VERSION_ID')
  return {
    id: values.get('ID') || 'linux',
    ...(version && { version }),
    name: values.get('PRETTY_NAME') || 'Linux',
  }
}

/** In double quotes a backslash protects `$`, `"`, `\` and the backtick; in single quotes everything stands for itself. */
function unquoted(value: string): string {
  const quote = value[0]
  if (quote === "'" && value.endsWith("'") && value.length > 1) return value.slice(1, -1)
  const inner = quote === '"' && value.endsWith('"') && value.length > 1 ? value.slice(1, -1) : value
  return inner.replace(/\\([$"\\`])/g, '$1')
}

/** It ends up in tables and on a page: no control characters, and not a novel. */
const oneLine = (value: string): string => value.replace(/[\x00-\x1f\x7f]/g, ' ').slice(0, 200)
