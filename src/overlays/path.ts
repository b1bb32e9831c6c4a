/** Which paths an overlay may put a file at. */

/** Links to `/usr/…` in every image with a merged /usr; a directory entry in an archive would replace the link. */
const mergedDirectories = ['bin', 'sbin', 'lib', 'lib32', 'lib64', 'libx32']

const encoder = new TextEncoder()

/** What is wrong with an absolute path on the node, in words that follow the path; `undefined` when nothing is. */
export function pathFault(path: string): string | undefined {
  if (!path.startsWith('/')) return 'is not absolute'
  if (path === '/') return 'is the root itself'
  if (/[\u0000-\u001f\u007f]/.test(path)) return 'has a control character in it'
  const parts = path.slice(1).split('/')
  if (parts.some((part) => part === '')) return 'has an empty part'
  if (parts.some((part) => part === '.' || part === '..')) return 'has . or .. in it'
  // A node reads paths from the end of lines (tree.ts), where its shell's `read` takes blanks off (POSIX, read).
  if (path.endsWith(' ')) return 'ends in a blank'
  // NAME_MAX and PATH_MAX, in bytes (include/uapi/linux/limits.h).
  if (parts.some((part) => encoder.encode(part).length > 255)) return 'has a part of more than 255 bytes'
  if (encoder.encode(path).length > 4095) return 'is longer than 4095 bytes'
  const [first = '', second] = parts
  if (mergedDirectories.includes(first)) return `would replace the link /${first} of the image: use /usr${path}`
  if (first === 'var' && (second === 'run' || second === 'lock'))
    return `would replace the link /var/${second} of the image: use /run`
  if (['proc', 'sys', 'dev'].includes(first)) return `is below /${first}, which the kernel mounts over`
  return undefined
}

/** The directories above a path, the outermost first, without the root. */
export function ancestors(path: string): string[] {
  const above: string[] = []
  for (let at = path.indexOf('/', 1); at > 0; at = path.indexOf('/', at + 1)) above.push(path.slice(0, at))
  return above
}

/** Permission bits of a directory that nobody has spoken of. */
export function directoryMode(path: string): number {
  if (path === '/root') return 0o700
  return path === '/tmp' || path === '/var/tmp' ? 0o1777 : 0o755
}
