/** The archive that brings a ticket to its node: `/muster/ticket`, which root alone can read. */
import { packCpio } from '../archive/cpio.ts'

/** A newc cpio with the ticket in it, for the kernel to unpack beside the root. */
export const ticketArchive = (ticket: string): Uint8Array<ArrayBuffer> =>
  packCpio([
    { path: 'muster', mode: 0o755, uid: 0, gid: 0, type: 'directory' },
    {
      path: 'muster/ticket',
      mode: 0o600,
      uid: 0,
      gid: 0,
      type: 'file',
      content: new TextEncoder().encode(`${ticket}\n`),
    },
  ])
