/** The flags that `node` and `profile` share: one table, from which the help is made too. */
import { type Command, InvalidArgumentError, Option } from 'commander'
import { splitKernelArgs } from './kernel-args.ts'
import { addPath, type Draft, type Given, pathOf, setPath } from './patch.ts'

/** One flag: how it is written, what it means, under which heading, and what its value does to the draft. */
type SettingFlag = { flags: string; help: string; group: string; apply: (value: string) => Given }

const boot = 'What it boots:'
const files = 'Files and names:'
const network = 'Network devices (--netdev says of which one the flags after it speak):'
const identity = 'Identity:'
const free = 'Free fields:'

/** Every setting flag, in the order of the help. */
export const settingFlags: readonly SettingFlag[] = [
  {
    flags: '--profile <name>',
    help: 'profile to inherit from; repeat in order; the list as a whole is replaced, "" empties it',
    group: boot,
    apply: (value) => (draft) => {
      draft.profiles = [...(draft.profiles ?? []), ...words(value)]
    },
  },
  flag('--image <name[@version]>', 'image to boot; the version is a number, a tag or sha256:…', boot, 'image'),
  flag('--kernel-version <version>', 'kernel of the image; newest when not set', boot, 'kernel.version'),
  {
    flags: '--kernel-args <line>',
    help: "kernel arguments, spaces inside double quotes only; added to the profiles' list, ~ARG takes one out",
    group: boot,
    apply: (value) => {
      const args = splitKernelArgs(value)
      if (!args) throw new InvalidArgumentError('A double quote is never closed.')
      return (draft) => setPath(draft.settings, ['kernel', 'args'], args)
    },
  },
  {
    flags: '--root <kind[,kind]>',
    help: 'where the root file system lives: initramfs, tmpfs, zram, squashfs, disk; several are an order to try',
    group: boot,
    apply: (value) => {
      const kinds = words(value)
      return (draft) => setPath(draft.settings, ['root', 'kind'], kinds.length === 1 ? kinds[0] : kinds)
    },
  },
  flag('--root-size <size>', 'most that the root may take: 8G, 50%', boot, 'root.size'),
  flag('--init <path>', 'first program of the image', boot, 'init'),
  flag('--script <name>', 'boot script template', boot, 'script'),
  flag('--stages <1|2>', '1: whole image through iPXE; 2: a small first stage fetches it', boot, 'stages', whole),
  flag('--on-failure <what>', 'retry, reboot or shell', boot, 'onFailure'),
  list('--system-overlays <a,b>', 'overlays applied at boot; ~NAME takes one out', files, 'overlays.system'),
  list('--runtime-overlays <a,b>', 'overlays refreshed while the node is up', files, 'overlays.runtime'),
  flag('--domain <name>', 'domain of the node', files, 'domain'),
  list('--nameserver <address>', 'name server; repeat', files, 'nameservers'),
  list('--search <domain>', 'domain to search; repeat', files, 'search'),
  list('--ntp <name>', 'time server; repeat', files, 'ntp'),
  flag('--timezone <zone>', 'America/Phoenix', files, 'timezone'),
  {
    flags: '--netdev <name>',
    help: 'the network device that the flags after this one speak of ("default" until then)',
    group: network,
    apply: (value) => (draft) => {
      draft.netdev = value
      draft.netdevs.push(value)
    },
  },
  netdev('--mac <mac>', 'hardware address', 'mac'),
  netdev('--device <name>', 'name of the interface in Linux', 'device'),
  netdev('--type <type>', 'ethernet, vlan, bond or infiniband', 'type'),
  netdev('--address <cidr>', 'IPv4 address with prefix: 10.0.0.1/24', 'address'),
  netdev('--address6 <cidr>', 'IPv6 address with prefix', 'address6'),
  netdev('--gateway <address>', 'IPv4 gateway', 'gateway'),
  netdev('--gateway6 <address>', 'IPv6 gateway', 'gateway6'),
  netdev('--mtu <bytes>', 'largest packet', 'mtu', whole),
  {
    flags: '--vlan <id:parent>',
    help: 'VLAN of another network device: 10:default (and type vlan)',
    group: network,
    apply: (value) => {
      const [id, parent] = halves(value, ':', 'ID:PARENT')
      const vlan = { id: whole(id), parent }
      return (draft) => {
        setNetdev(draft, 'vlan', vlan)
        setNetdev(draft, 'type', 'vlan')
      }
    },
  },
  {
    flags: '--bond <mode:members>',
    help: 'bond of other network devices: 802.3ad:a,b (and type bond)',
    group: network,
    apply: (value) => {
      const [mode, members] = halves(value, ':', 'MODE:MEMBER,MEMBER')
      const bond = { mode, members: words(members) }
      return (draft) => {
        setNetdev(draft, 'bond', bond)
        setNetdev(draft, 'type', 'bond')
      }
    },
  },
  {
    flags: '--primary',
    help: "the node's own name is this device's address",
    group: network,
    apply: () => (draft) => setNetdev(draft, 'primary', true),
  },
  {
    flags: '--dns <address>',
    help: 'name server of this device alone; repeat',
    group: network,
    apply: (value) => (draft) => addPath(draft.settings, ['netdevs', draft.netdev, 'dns'], words(value)),
  },
  flag('--uuid <uuid>', 'SMBIOS UUID', identity, 'uuid'),
  flag('--serial <text>', 'serial number', identity, 'serial'),
  flag('--asset-tag <text>', 'asset tag', identity, 'assetTag'),
  flag('--description <text>', 'for people', free, 'description'),
  {
    flags: '--tag <key=value>',
    help: 'sets a tag; repeat',
    group: free,
    apply: (text) => {
      const [key, value] = halves(text, '=', 'KEY=VALUE')
      return (draft) => setPath(draft.settings, ['tags', key], value)
    },
  },
  {
    flags: '--tag-delete <key>',
    help: 'takes a tag of its own away; repeat',
    group: free,
    apply: (key) => (draft) => setPath(draft.settings, ['tags', key], null),
  },
  {
    flags: '--resource <key=json>',
    help: 'sets a resource to a JSON value; objects merge with what is there, null takes it away; repeat',
    group: free,
    apply: (text) => {
      const [key, value] = halves(text, '=', 'KEY=JSON')
      const json = parsed(value)
      if (json === undefined) throw new InvalidArgumentError(`What follows "${key}=" is not JSON.`)
      return (draft) => setPath(draft.settings, ['resources', key], json)
    },
  },
  {
    flags: '--set <path=value>',
    help: 'sets any field: bmc.address=10.1.0.5; the value is JSON if it can be, else text; repeat',
    group: free,
    apply: (text) => {
      const [path, value] = halves(text, '=', 'PATH=VALUE')
      const json = parsed(value)
      return (draft) => setPath(draft.settings, pathOf(path), json === undefined ? value : json)
    },
  },
  {
    flags: '--clear <path>',
    help: 'hides what profiles say of a field; repeat',
    group: free,
    apply: (paths) => (draft) => void draft.clear.push(...words(paths).map((path) => pathOf(path).join('.'))),
  },
]

/** Gives a command the setting flags. The list fills, in typed order, while the command line is parsed. */
export function withSettingFlags(command: Command): { given: Given[] } {
  const given: Given[] = []
  for (const { flags, help, group, apply } of settingFlags) {
    const option = new Option(flags, help).helpGroup(group).argParser((value: string) => {
      given.push(apply(value))
      return value
    })
    // A flag without a value is handed to its parser only when it has a preset one.
    if (!flags.includes('<')) option.preset('true')
    command.addOption(option)
  }
  return { given }
}

/** A flag whose value goes to one path, perhaps read first. */
function flag(
  flags: string,
  help: string,
  group: string,
  path: string,
  read: (value: string) => unknown = (value) => value,
): SettingFlag {
  const keys = path.split('.')
  return {
    flags,
    help,
    group,
    apply: (value) => {
      const wanted = read(value)
      return (draft) => setPath(draft.settings, keys, wanted)
    },
  }
}

/** A flag that may be repeated or given a list with commas; `""` is the empty list. */
function list(flags: string, help: string, group: string, path: string): SettingFlag {
  const keys = path.split('.')
  return { flags, help, group, apply: (value) => (draft) => addPath(draft.settings, keys, words(value)) }
}

/** A flag of the network device that was named last. */
function netdev(
  flags: string,
  help: string,
  field: string,
  read: (value: string) => unknown = (value) => value,
): SettingFlag {
  return {
    flags,
    help,
    group: network,
    apply: (value) => {
      const wanted = read(value)
      return (draft) => setNetdev(draft, field, wanted)
    },
  }
}

const setNetdev = (draft: Draft, field: string, value: unknown): void =>
  setPath(draft.settings, ['netdevs', draft.netdev, field], value)

const words = (value: string): string[] =>
  value
    .split(',')
    .map((word) => word.trim())
    .filter((word) => word !== '')

function whole(value: string): number {
  if (!/^[0-9]{1,9}$/.test(value)) throw new InvalidArgumentError('It must be a whole number.')
  return Number(value)
}

function halves(value: string, separator: string, form: string): [string, string] {
  const at = value.indexOf(separator)
  if (at < 1) throw new InvalidArgumentError(`It must be ${form}.`)
  return [value.slice(0, at), value.slice(at + separator.length)]
}

function parsed(value: string): unknown {
  try {
    return JSON.parse(value) as unknown
  } catch {
    return undefined
  }
}
