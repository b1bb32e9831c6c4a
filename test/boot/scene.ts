/** What every suite begins with: a head node, an image, and words for the things that are the same everywhere. */
import { inject } from 'vitest'
import { type Head, startHead } from './head.ts'

/** Why nothing can be booted here; empty when everything is there. */
export const skipReason = inject('skipReason')

/** Arguments of every kernel: serial console, and no panic of a starved emulator (`IO-APIC + timer doesn't work`). */
export const kernelArgs = 'console=ttyS0,115200 no_timer_check panic=-1 quiet'

/** A head node that has the image `name`: busybox from a tar, Debian from a container image. */
export async function headWith(name: 'busybox' | 'debian', start: () => Promise<Head> = startHead): Promise<Head> {
  const head = await start()
  const source = name === 'busybox' ? inject('busyboxTar') : `docker-archive:${inject('debianImage')}`
  await head.muster('image', 'import', source, name)
  return head
}

/** What a card with iPXE in its ROM is told to load. */
export const bootfile = (head: Head): string => `${head.url}/boot.ipxe`
