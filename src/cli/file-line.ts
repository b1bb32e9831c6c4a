/** An entry of an image as `ls -l` shows one. Pure. */
import { timeText } from './table.ts'

/** An entry as the API gives it. */
export type FileEntry = {
  path: string
  type: 'file' | 'directory' | 'link' | 'character' | 'block' | 'fifo'
  mode: string
  uid: number
  gid: number
  mtime: number
  size?: number | undefined
  links?: number | undefined
  target?: string | undefined
  device?: [number, number] | undefined
}

const letters = { file: '-', directory: 'd', link: 'l', character: 'c', block: 'b', fifo: 'p' } as const

/** `-rwxr-xr-x   1     0     0      1234  2026-01-31 12:00:00Z  bash`, and `-> target` behind a symbolic link. */
export function fileLine(file: FileEntry, name: string): string {
  const size = file.device ? file.device.join(',') : String(file.size ?? '-')
  const time = timeText(timeOf(file.mtime))
  const target = file.target === undefined ? '' : ` -> ${file.target}`
  const columns = [String(file.links ?? 1).padStart(3), pad(file.uid), pad(file.gid), size.padStart(12)]
  return `${letters[file.type]}${permissions(Number.parseInt(file.mode, 8))} ${columns.join(' ')}  ${time}  ${name}${target}`
}

/** `rwxr-xr-x`, with s and t where setuid, setgid and the sticky bit are (ls(1), POSIX.1-2017 "ls", STDOUT). */
export function permissions(mode: number): string {
  const three = (shift: number, special: boolean, letter: string): string => {
    const bits = mode >> shift
    const execute = bits & 1
    const last = special ? (execute ? letter : letter.toUpperCase()) : execute ? 'x' : '-'
    return `${bits & 4 ? 'r' : '-'}${bits & 2 ? 'w' : '-'}${last}`
  }
  return (
    three(6, (mode & 0o4000) !== 0, 's') + three(3, (mode & 0o2000) !== 0, 's') + three(0, (mode & 0o1000) !== 0, 't')
  )
}

const pad = (id: number): string => String(id).padStart(5)

/** ISO 8601; a time beyond what a `Date` can say stays a number. */
function timeOf(mtime: number): string {
  const date = new Date(mtime * 1000)
  return Number.isNaN(date.getTime()) ? `${mtime} s` : date.toISOString()
}
