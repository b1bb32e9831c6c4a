/**
 * Stamps tell whether what a template reads is still what it was: two values of a name with the same stamp are the same.
 * They cost less than what they stand for: netdevs are told by the settings that they are made of, files of an image by the
 * image's digest, the nodes by a stamp of all of them.
 */
import { networkSettings } from './listed-nodes.ts'
import { absent, resolve } from './scope.ts'
import type { ContentNumbers, Read, Reader, Stamp } from './tracking.ts'
import type { View, ViewInput } from './view.ts'

/** What a name is made of, as JSON can say it, and contents of files by their numbers. */
type Source = (input: ViewInput, contents: ContentNumbers) => unknown

const network: Source = ({ node }) => networkSettings(node.settings)
const disks: Source = ({ node: { settings } }) => [settings.disks, settings.resources?.fstab]

/** Names that are told by what they are made of, whatever part of them is read. Others are told by the value that is read. */
const sources: { [Name in keyof View]?: Source } = {
  head: ({ head }) => head.url,
  netdevs: network,
  netdev: network,
  primary: network,
  dns: ({ node: { settings } }) => [
    settings.nameservers,
    settings.search,
    settings.domain,
    Object.entries(settings.netdevs ?? {}).map(([name, { dns, tags, primary }]) => [name, dns, tags, primary]),
  ],
  network: (input, contents) => [network(input, contents), input.node.settings.tags?.network],
  mounts: disks,
  swaps: disks,
  fstab: disks,
  users({ node: { settings }, image, inputs }, contents) {
    const { localusers, localgroups } = settings.resources ?? {}
    const head = [contents(inputs.headFile('passwd')), contents(inputs.headFile('group'))]
    return [image?.digest, head, localusers, localgroups, settings.tags?.PasswordlessRoot]
  },
  authorizedKeys({ node, inputs }, contents) {
    const own = node.settings.resources?.sshAuthorizedKeys
    return Array.isArray(own) ? own : contents(inputs.headFile('authorized_keys'))
  },
  mig: ({ node }) => node.settings.tags?.gpuMigProfiles,
  nodes: ({ inputs }) => inputs.nodesStamp,
  view(input, contents) {
    const { inputs, ...own } = input
    return [own, sources.authorizedKeys?.(input, contents), inputs.nodesStamp]
  },
}

/** The function that stamps what is read of a view. It throws what `Inputs` throw. */
export function stampsOf(
  input: ViewInput,
  view: View,
  reader: Reader,
): (read: Read, contents: ContentNumbers) => Stamp {
  const made = new Map<string, Stamp>()
  return ({ name, path, argument }, contents) => {
    // Read for a private entry, the whole BMC has its password in it.
    if (name === 'bmc' && reader.private) return json([view.bmc, view.bmc?.password])
    const first = path[0] ?? ''
    const source = argument === undefined && Object.hasOwn(sources, first) ? sources[first as keyof View] : undefined
    const key = source ? first : argument === undefined ? name : `${name} ${argument}`
    const known = made.get(key)
    if (known !== undefined) return known
    const stamp =
      argument !== undefined
        ? json(first === 'image' ? input.image?.digest : contents(input.inputs.headFile(argument)))
        : source
          ? json(source(input, contents))
          : ofValue(resolve({ value: view, below: undefined }, path))
    made.set(key, stamp)
    return stamp
  }
}

/** Each kind of value begins with a letter of its own, and says how long it is unless that is known. */
function ofValue(value: unknown): Stamp {
  if (typeof value === 'string') return `s${value.length}:${value}`
  if (value === undefined) return 'u'
  return value === absent ? 'a' : json(value)
}

function json(value: unknown): Stamp {
  const text = JSON.stringify(value) ?? ''
  return `j${text.length}:${text}`
}
