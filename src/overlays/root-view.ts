/** The root file system as templates see it. */
import type { RootKind } from '../registry/settings.ts'

/** What the root lives in. */
export type RootView = {
  kind: RootKind
  size: string | undefined
  /** What is mounted at `/`, as /proc/mounts names it; absent for kinds whose device is known on the node alone. */
  mount: { what: string; type: string } | undefined
}

/** The kernel's own name, and the one that `boot-assets/overlays/base/files/muster/lib/root.sh` mounts the tmpfs by. */
const mounts: Partial<Record<RootKind, RootView['mount']>> = {
  initramfs: { what: 'rootfs', type: 'rootfs' },
  tmpfs: { what: 'muster-root', type: 'tmpfs' },
}

/** The view of a root. */
export const rootView = ({ kind, size }: { kind: RootKind; size?: string | undefined }): RootView => ({
  kind,
  size,
  mount: mounts[kind],
})
