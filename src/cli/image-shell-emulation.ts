/** Whether this machine can run the programs of an image that is made for another one: binfmt_misc, which Linux asks. */
import { readdir, readFile } from 'node:fs/promises'
import { machine } from 'node:os'
import { join } from 'node:path'
import { AppError } from '../errors.ts'

/**
 * What an ELF header says of a machine: its number (gABI, "e_machine"), class and order of bytes. All that images can be
 * made for are of 64 bits.
 */
const machines: Record<string, { number: number; bigEndian?: true }> = {
  x86_64: { number: 62 },
  aarch64: { number: 183 },
  riscv64: { number: 243 },
  ppc64le: { number: 21 },
  s390x: { number: 22, bigEndian: true },
}

/** The first bytes of a program for `architecture`, as e_type 2 (fixed) or 3 (anywhere). */
function elfHeader(architecture: string, type: number): Uint8Array | undefined {
  const found = machines[architecture]
  if (!found) return undefined
  const header = new Uint8Array(64)
  header.set([0x7f, 0x45, 0x4c, 0x46, 2, found.bigEndian ? 2 : 1, 1])
  const view = new DataView(header.buffer)
  view.setUint16(16, type, !found.bigEndian)
  view.setUint16(18, found.number, !found.bigEndian)
  return header
}

/**
 * Why programs for `architecture` cannot be run, and how they could be; `undefined` when they can. `files` are the files of
 * /proc/sys/fs/binfmt_misc by name (Documentation/admin-guide/binfmt-misc.rst), nothing when it is not mounted. Pure.
 */
export function whyNotRun(
  architecture: string,
  { own, files }: { own: string; files: Readonly<Record<string, string>> },
): string | undefined {
  if (architecture === own) return undefined
  const what = `the image is for ${architecture} and this machine is ${own}`
  if (files.status === undefined)
    return `${what}: binfmt_misc is not mounted: \`mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc\`, and ${wayOut}`
  if (files.status.trim() !== 'enabled')
    return `${what}: binfmt_misc is switched off: \`echo 1 >/proc/sys/fs/binfmt_misc/status\``
  const headers = [2, 3].map((type) => elfHeader(architecture, type))
  const handlers = Object.entries(files).filter(
    ([name, text]) => name !== 'status' && headers.some((header) => header && matches(text, header)),
  )
  const [first] = handlers
  if (!first) return `${what}, which has no emulator for it: ${wayOut}`
  if (handlers.some(([, text]) => isEnabled(text) && flagsOf(text).includes('F'))) return undefined
  if (!handlers.some(([, text]) => isEnabled(text)))
    return `${what}: its emulator is switched off: \`echo 1 >/proc/sys/fs/binfmt_misc/${first[0]}\``
  return `${what}: its emulator (${first[0]}) is registered without the flag F, so it is not seen in the image: ${wayOut}`
}

const wayOut =
  'install one (Debian: `apt-get install qemu-user-static`, EL: `dnf install qemu-user-static`, or `podman run --rm --privileged multiarch/qemu-user-static --reset -p yes`)'

/** Throws `UNSUPPORTED` when programs for `architecture` cannot be run here. */
export async function checkArchitecture(architecture: string, directory = '/proc/sys/fs/binfmt_misc'): Promise<void> {
  if (architecture === machine()) return
  const reason = whyNotRun(architecture, { own: machine(), files: await filesIn(directory) })
  if (reason) throw new AppError('UNSUPPORTED', reason)
}

async function filesIn(directory: string): Promise<Record<string, string>> {
  const names = await readdir(directory).catch((error: NodeJS.ErrnoException) => {
    // A kernel without binfmt_misc does not have the directory.
    if (error.code === 'ENOENT') return []
    throw error
  })
  // `register` can only be written.
  const readable = names.filter((name) => name !== 'register')
  return Object.fromEntries(
    await Promise.all(readable.map(async (name) => [name, await readFile(join(directory, name), 'latin1')] as const)),
  )
}

const isEnabled = (text: string): boolean => text.startsWith('enabled\n')

const flagsOf = (text: string): string => /^flags: ?(.*)$/m.exec(text)?.[1] ?? ''

/** Whether the kernel would give a program that begins so to this handler. */
function matches(text: string, header: Uint8Array): boolean {
  const magic = /^magic ([0-9a-f]+)$/m.exec(text)?.[1]
  const mask = /^mask ([0-9a-f]+)$/m.exec(text)?.[1]
  const offset = Number(/^offset (\d+)$/m.exec(text)?.[1] ?? 0)
  // A handler for a file name's extension has none.
  if (magic === undefined) return false
  const wanted = bytesOf(magic)
  const masked = mask === undefined ? undefined : bytesOf(mask)
  return wanted.every((byte, at) => {
    const bits = masked?.[at] ?? 0xff
    return ((header[offset + at] ?? 0) & bits) === (byte & bits)
  })
}

const bytesOf = (hex: string): number[] => Array.from(hex.match(/../g) ?? [], (digits) => Number.parseInt(digits, 16))
