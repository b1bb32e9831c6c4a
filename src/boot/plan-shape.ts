/** The boot plan: what a node would boot, as data. Scripts, `boot show` and attempts are all made from it. */
import type { Digest } from '../blobs/digest.ts'
import type { CpioRoot, Kernel } from '../images/manifest.ts'
import type { RootKind } from '../registry/settings.ts'

/** An overlay in a plan. `version` is absent for a shipped overlay that the site has not shadowed. */
export type PlannedOverlay = { name: string; version?: number; digest: Digest }

/** What a node would boot. */
export type BootPlan = {
  node: string
  /** The registry's revision that this plan was made from. */
  revision: number
  image: { name: string; version: number; digest: Digest; architecture: string }
  kernel: Kernel
  root: CpioRoot & { mode: Extract<RootKind, 'initramfs' | 'tmpfs'>; limit?: string }
  overlays: { system: PlannedOverlay[]; runtime: PlannedOverlay[] }
  /** Kernel arguments in order, without those that the script adds itself (`initrd=…`). */
  args: string[]
  init: string
  /** Name of the iPXE template. */
  script: string
  onFailure: 'retry' | 'reboot' | 'shell'
  /** What an admin should know: a root kind that was passed over, an image's warnings. */
  warnings: string[]
}
