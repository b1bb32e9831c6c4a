/** A place in which archives may try what they want, and ways to say what becomes of them. */
import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { type ArchiveLimits, defaultLimits } from '../../src/archive/limits.ts'
import type { Digest } from '../../src/blobs/digest.ts'
import { AppError, type ErrorCode } from '../../src/errors.ts'
import type { Layer, Whiteouts } from '../../src/images/layer.ts'
import { mergeLayers } from '../../src/images/merge.ts'
import { openSpool, prepareSpool } from '../../src/images/spool.ts'
import { bytes, type Member, member, source } from '../archive/tar-writer.ts'
import { listing, type Parts, tarOf } from './layers-of.ts'

/** A folder that the tricks aim at. */
export const outside = mkdtempSync(join(tmpdir(), 'muster-hostile-'))
const spoolFolder = join(outside, 'state', 'spool')
mkdirSync(join(outside, 'etc'))
writeFileSync(join(outside, 'etc', 'passwd'), 'root:x:0:0::/root:/bin/sh\n')
symlinkSync('etc/passwd', join(outside, 'link'))
prepareSpool(spoolFolder)
afterAll(() => rmSync(outside, { recursive: true }))

/** Everything outside of the spool that the archives could reach, as text. */
function surroundings(): string[] {
  return readdirSync(outside, { recursive: true, encoding: 'utf8' })
    .sort()
    .map((path) => {
      const found = lstatSync(join(outside, path))
      const what = found.isSymbolicLink()
        ? readlinkSync(join(outside, path))
        : found.isFile()
          ? readFileSync(join(outside, path), 'utf8')
          : ''
      // The folder of the spool itself has files come and go.
      const time = path === 'state/spool' ? '' : found.mtimeMs
      return [path, found.mode, found.uid, found.gid, found.nlink, found.ino, time, what].join(' ')
    })
}

type Options = {
  whiteouts?: Whiteouts
  limits?: Partial<ArchiveLimits>
  expected?: { digest?: Digest; diffId?: Digest }
}

/** What becomes of layers, as they are sent: the lines of the tree, or the error; and how much of them was taken. */
export async function fate(sent: Uint8Array[], { whiteouts = 'oci', limits: tighter, expected }: Options) {
  const limits = { ...defaultLimits, ...tighter }
  const spool = await openSpool(spoolFolder, limits)
  let taken = 0
  try {
    const layers: Layer[] = []
    for (const one of sent) {
      const body = source(one, 16_384)
      try {
        layers.push({ entries: (await spool.receive(body, expected)).entries, whiteouts })
      } finally {
        taken += body.taken
      }
    }
    return { tree: listing(mergeLayers(layers, { limits })).slice(1), taken }
  } catch (error) {
    return { error, taken }
  } finally {
    await spool.close()
  }
}

type Case = [name: string, layers: (Parts | Uint8Array)[], result: string | string[] | RegExp, options?: Options]

const sentOf = (layers: (Parts | Uint8Array)[]): Uint8Array[] =>
  layers.map((layer) => (layer instanceof Uint8Array ? layer : tarOf(layer)))

/** Archives that are refused with that code and, in the message, that text. */
export function refused(code: ErrorCode, cases: Case[]): void {
  test.each(cases)('%s', async (_, layers, reason, options = {}) => {
    const before = surroundings()
    const { error } = await fate(sentOf(layers), options)
    expect(error).toBeInstanceOf(AppError)
    expect(error).toMatchObject({
      code,
      message: reason instanceof RegExp ? expect.stringMatching(reason) : expect.stringContaining(String(reason)),
    })
    expect((error as AppError).message.length).toBeLessThan(500)
    expect(surroundings()).toEqual(before)
  })
}

/** Archives that do no harm, with the lines of the tree that they give. */
export function contained(cases: Case[]): void {
  test.each(cases)('%s', async (_, layers, lines, options = {}) => {
    const before = surroundings()
    const { error, tree } = await fate(sentOf(layers), options)
    expect(error).toBeUndefined()
    expect(tree).toEqual(lines)
    expect(surroundings()).toEqual(before)
  })
}

/** A file of a tar. */
export const file = (name: string, text = '', more: Partial<Member> = {}): Member => ({
  name,
  data: bytes(text),
  ...more,
})
/** A character device of a tar. */
export const device = (name: string, major = 0, minor = 0): Member => ({
  name,
  flag: '3',
  raw: { 329: bytes(`${major.toString(8).padStart(7, '0')}\0`), 337: bytes(`${minor.toString(8).padStart(7, '0')}\0`) },
})
/** A name that GNU tar puts in front of an entry. */
export const longName = (text: string) => member({ name: '././@LongLink', flag: 'L', data: bytes(`${text}\0`) })
/** A file that is there, outside of the spool. */
export const passwd = join(outside, 'etc', 'passwd')
/** An absolute path without its slash. */
export const relative = (path: string) => path.slice(1)
/** The lines of the directories above a path, none of which an archive has. */
export const above = (path: string): string[] => {
  const parts = path.split('/').slice(0, -1)
  return parts.map((_, at) => `directory 755 0:0 1 ${parts.slice(0, at + 1).join('/')}`)
}
