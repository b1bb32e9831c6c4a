/** What a node mounts and swaps to, from its disks and `resources.fstab`. */
import { AppError } from '../errors.ts'
import { fstabSchema } from '../registry/known-resources.ts'
import type { Effective, Json } from '../registry/settings.ts'
import { deviceOf, unitName } from '../registry/unit-name.ts'

/** An entry of fstab(5). */
export type FstabEntry = { spec: string; file: string; vfstype: string; mntops: string; freq: number; passno: number }

/** Values as a unit file wants them: a `%` is doubled, which else begins a specifier (systemd.unit(5)). */
type ForUnit = { what: string; where: string; options: string }

/** A file system to mount. */
export type MountView = {
  /** A device, or where the network has it. Of a partition `/dev/disk/by-partlabel/LABEL`. */
  what: string
  where: string
  type: string
  /** Joined by commas; `defaults` when there are none. */
  options: string
  freq: number
  passno: number
  /** `scratch-local.mount`. */
  unit: string
  forUnit: ForUnit
  /** What mounts it while the node starts; absent for one with the option `noauto`. */
  target: 'local-fs.target' | 'remote-fs.target' | undefined
  isLocal: boolean
  isNetwork: boolean
}

/** A device to swap to. */
export type SwapView = {
  what: string
  options: string
  /** `dev-disk-by\x2dpartlabel-swap.swap`. */
  unit: string
  forUnit: Omit<ForUnit, 'where'>
}

/** As systemd counts them (src/basic/mountpoint-util.c, fstype_is_network), and two that clusters have besides. */
const networkTypes = new Set(
  'afs ceph cifs smb3 smbfs sshfs ncpfs ncp nfs nfs4 gfs gfs2 glusterfs pvfs2 ocfs2 lustre davfs beegfs fuse.sshfs fuse.glusterfs'.split(
    ' ',
  ),
)

/** Reads `resources.fstab`. Throws `SETTINGS_INVALID` for one that was stored before there was a check. */
export function fstabEntries(resource: Json | undefined): FstabEntry[] {
  if (resource === undefined) return []
  const parsed = fstabSchema.safeParse(resource)
  if (!parsed.success) {
    const [issue] = parsed.error.issues
    const field = ['resources.fstab', ...(issue?.path ?? [])].join('.')
    throw new AppError('SETTINGS_INVALID', `${field} ${issue?.message}`, { field: `settings.${field}` })
  }
  return parsed.data.map(({ spec, file, vfstype = 'nfs', mntops = 'defaults', freq = 0, passno = 0 }) => ({
    spec,
    file,
    vfstype,
    mntops,
    freq: Number(freq),
    passno: Number(passno),
  }))
}

/**
 * What is to be mounted, the outer before the inner; of two for one path the first, partitions before `resources.fstab`. Not
 * the root, which is mounted already.
 */
export function mountViews(settings: Effective): MountView[] {
  const fromDisks = partitionsOf(settings).flatMap(({ label, filesystem = 'ext4', mount, options = [] }) =>
    mount === undefined || filesystem === 'swap'
      ? []
      : [
          mountView({
            what: byPartlabel(label),
            where: mount,
            type: filesystem,
            options: options.join(','),
            freq: 0,
            passno: 2,
          }),
        ],
  )
  const fromTable = fstabEntries(settings.resources?.fstab).flatMap(({ spec, file, vfstype, mntops, freq, passno }) =>
    !file.startsWith('/') || vfstype === 'swap'
      ? []
      : [mountView({ what: spec, where: file, type: vfstype, options: mntops, freq, passno })],
  )
  const byPath = new Map<string, MountView>()
  for (const mount of [...fromDisks, ...fromTable])
    if (mount.where !== '/' && !byPath.has(mount.where)) byPath.set(mount.where, mount)
  // A path ends where a slash would follow, and nothing sorts before that: /a, /a/b, /a-b.
  const key = ({ where }: MountView) => `${where.replaceAll('/', '\u0000')}\u0000`
  return [...byPath.values()].sort((a, b) => (key(a) < key(b) ? -1 : 1))
}

/** What is to be swapped to, each device once. */
export function swapViews(settings: Effective): SwapView[] {
  const fromDisks = partitionsOf(settings).flatMap(({ label, filesystem, options = [] }) =>
    filesystem === 'swap' ? [{ what: byPartlabel(label), options: options.join(',') }] : [],
  )
  const fromTable = fstabEntries(settings.resources?.fstab).flatMap(({ spec, vfstype, mntops }) =>
    vfstype === 'swap' ? [{ what: deviceOf(spec), options: mntops }] : [],
  )
  const byUnit = new Map<string, SwapView>()
  for (const { what, options } of [...fromDisks, ...fromTable]) {
    const unit = unitName(what, 'swap')
    const given = options || 'defaults'
    if (!byUnit.has(unit))
      byUnit.set(unit, { what, options: given, unit, forUnit: { what: doubled(what), options: doubled(given) } })
  }
  return [...byUnit.values()]
}

const partitionsOf = ({ disks = [] }: Effective) => disks.flatMap(({ partitions = [] }) => partitions)

const byPartlabel = (label: string): string => `/dev/disk/by-partlabel/${label}`

const doubled = (text: string): string => text.replaceAll('%', '%%')

function mountView({
  where: given,
  options: joined,
  ...rest
}: Pick<MountView, 'what' | 'where' | 'type' | 'options' | 'freq' | 'passno'>): MountView {
  const where = `/${given.split('/').filter(Boolean).join('/')}`
  const options = joined || 'defaults'
  const isNetwork = networkTypes.has(rest.type) || options.split(',').includes('_netdev')
  return {
    ...rest,
    where,
    options,
    unit: unitName(where, 'mount'),
    forUnit: { what: doubled(rest.what), where: doubled(where), options: doubled(options) },
    target: options.split(',').includes('noauto') ? undefined : isNetwork ? 'remote-fs.target' : 'local-fs.target',
    isLocal: !isNetwork,
    isNetwork,
  }
}
