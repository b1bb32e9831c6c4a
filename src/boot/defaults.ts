/** What holds when neither a node nor its profiles say anything. `boot show` names them as coming from `default`. */

/** Defaults of the settings that decide what a node boots; the same shape as the settings. */
export const bootDefaults = {
  root: { kind: 'initramfs' },
  init: '/sbin/init',
  script: 'default',
  onFailure: 'retry',
  runtimeInterval: 60,
  // What must be there before the image's own init runs, and what may change while the node is up.
  overlays: {
    system: ['base', 'client', 'hostname', 'systemd-networkd', 'NetworkManager', 'ssh-host-keys'],
    runtime: ['hosts', 'ssh-authorized-keys'],
  },
} as const

/** The script of nodes that start from their own disk. It fetches nothing, so it needs no image and no plan. */
export const localDisk = 'local-disk'
