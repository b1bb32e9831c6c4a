/** What holds when neither a node nor its profiles say anything. `boot show` names them as coming from `default`. */

/** Defaults of the settings that decide what a node boots; the same shape as the settings. */
export const bootDefaults = {
  root: { kind: 'initramfs' },
  init: '/sbin/init',
  script: 'default',
  onFailure: 'retry',
  runtimeInterval: 60,
  overlays: { system: ['base', 'hostname', 'hosts', 'network', 'ssh-keys'], runtime: [] as string[] },
} as const

/** The script of nodes that start from their own disk. It fetches nothing, so it needs no image and no plan. */
export const localDisk = 'local-disk'
