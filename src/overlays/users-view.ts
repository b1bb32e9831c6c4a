/**
 * The accounts of a node: its image's, then people of the head node, then those of its settings.
 *
 * Lines of the image stay as they are. Of the head node come users and groups with ids from 1000 on, which are people's
 * (SYS_UID_MAX of login.defs(5) is 999): ids of services differ between distributions, and files of the image are owned by the
 * image's. Where those must be the same, `images/sync-users.ts` does it once, when the image is imported.
 */
import type { Effective, Json } from '../registry/settings.ts'
import type { Inputs } from './inputs.ts'

/** Whole lines of passwd(5), group(5) and shadow(5), each name once. */
export type UsersView = { readonly passwd: string[]; readonly group: string[]; readonly shadow: string[] }

const firstPerson = 1000
/** "Nobody": the overflow id of the kernel. */
const overflowId = 65_534
const largestId = 2 ** 32 - 2

/** The accounts of a node. Files are asked for when a list is read. */
export function usersView(settings: Effective, inputs: Inputs): UsersView {
  const { localusers, localgroups } = settings.resources ?? {}
  const openRoot = settings.tags?.PasswordlessRoot === 'true'
  const image = (name: string) => linesOf(inputs.imageFile(`/etc/${name}`))
  const people = (name: 'passwd' | 'group') =>
    linesOf(inputs.headFile(name)).flatMap((line) => {
      const parts = line.split(':')
      return parts.length === (name === 'passwd' ? 7 : 4) && isPerson(Number(parts[2]))
        ? [withPassword(parts, 'x')]
        : []
    })
  const added = () => [...people('passwd'), ...recordsOf(localusers).map(passwdLine)]
  return {
    get passwd() {
      const lines = unique([...image('passwd'), ...added()])
      return openRoot ? lines.map(opened) : lines
    },
    get group() {
      const more = [...people('group'), ...recordsOf(localgroups).map(groupLine)]
      return unique(withMembers([...image('group'), ...more]))
    },
    get shadow() {
      const known = image('shadow')
      const lines = unique([...known, ...newcomers(image('passwd'), added()).map((name) => `${name}:*:::::::`)])
      return openRoot ? lines.map(opened) : lines
    },
  }
}

const isPerson = (id: number): boolean => id >= firstPerson && id !== overflowId && id <= largestId

const linesOf = (content: Uint8Array | undefined): string[] =>
  new TextDecoder()
    .decode(content)
    .split(/\r?\n/)
    .filter((line) => line !== '')

const nameOf = (line: string): string => line.slice(0, Math.max(0, line.indexOf(':')))

/** Of several lines of one name the first. Lines for NIS (`+`, `-`) are the last, because they end the search. */
function unique(lines: readonly string[]): string[] {
  const seen = new Set<string>()
  const isNis = (line: string) => /^[+-]/.test(line)
  const first = lines.filter((line) => {
    const name = nameOf(line)
    if (isNis(line) || seen.has(name)) return false
    seen.add(name)
    return true
  })
  return [...first, ...lines.filter(isNis)]
}

const newcomers = (known: readonly string[], lines: readonly string[]): string[] => {
  const names = new Set(known.map(nameOf))
  return lines.map(nameOf).filter((name) => !names.has(name))
}

const withPassword = ([name = '', , ...rest]: string[], password: string): string => [name, password, ...rest].join(':')

/** The line of root without a password; others as they are. passwd(5): an empty field asks for none. */
const opened = (line: string): string => (nameOf(line) === 'root' ? withPassword(line.split(':'), '') : line)

type Fields = { [key: string]: Json }

/** What is no list of maps was stored before there was a check, and says nothing. */
const recordsOf = (resource: Json | undefined): Fields[] =>
  (Array.isArray(resource) ? resource : []).filter(
    (item): item is Fields => typeof item === 'object' && item !== null && !Array.isArray(item),
  )

const passwdLine = ({ name, uid, gid, gecos, home, shell }: Fields): string =>
  [name, 'x', uid, gid ?? uid, gecos ?? '', home ?? `/home/${name}`, shell ?? '/bin/bash'].join(':')

const groupLine = ({ name, gid, members }: Fields): string =>
  [name, 'x', gid, Array.isArray(members) ? members.join(',') : (members ?? '')].join(':')

/** The members of every line of a name, at its first line. */
function withMembers(lines: readonly string[]): string[] {
  const members = new Map<string, Set<string>>()
  const membersIn = (line: string) => (line.split(':')[3] ?? '').split(',').filter(Boolean)
  for (const line of lines) {
    const all = members.get(nameOf(line)) ?? new Set()
    for (const member of membersIn(line)) all.add(member)
    members.set(nameOf(line), all)
  }
  return lines.map((line) => {
    const parts = line.split(':')
    const all = members.get(nameOf(line))
    if (parts.length !== 4 || !all || all.size === membersIn(line).length) return line
    return [...parts.slice(0, 3), [...all].join(',')].join(':')
  })
}
