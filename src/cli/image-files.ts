/** `muster image files`, `cat` and `export`: what is in a version. */
import { rename, rm, stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import type { Command } from 'commander'
import { AppError } from '../errors.ts'
import { answer } from './client.ts'
import { writeCompressed } from './compressed-file.ts'
import { confirm } from './confirm.ts'
import { type FileEntry, fileLine } from './file-line.ts'
import { oneOf, referenceHelp, versionMeant } from './image-reference.ts'
import { type Io, pour } from './io.ts'
import { allPages } from './pages.ts'
import { createMeter } from './progress.ts'
import { open, type Session, show, verb } from './session.ts'
import { bytesText } from './table.ts'

/** The most entries that the API gives at a time. */
const filesAtOnce = '10000'

/** Adds the verbs. */
export function imageFileCommands(image: Command, io: Io): void {
  const files = verb(image, 'files', 'List the files of an image').argument('<image>', referenceHelp)
  files.argument('[path]', 'directory or file; else the root')
  files
    .option('-l, --long', 'mode, links, owner, size and time')
    .option('-R, --recursive', 'everything below, as paths')
  files.action(async (reference: string, path = '/', { long, recursive }: { long?: boolean; recursive?: boolean }) => {
    const session = await open(io, files)
    const page = await filesOf(session, reference, path, recursive === true)
    const text = recursive ? (file: FileEntry) => file.path : nameBelow(page.items, path)
    show(session, page, ({ items }) =>
      long ? items.map((file) => fileLine(file, text(file))) : items.map((file) => text(file)),
    )
  })

  const cat = verb(image, 'cat', 'Print a file of an image, byte for byte').argument('<image>', referenceHelp)
  cat.argument('<path>', '/etc/os-release; symbolic links are followed within the image')
  cat.action(async (reference: string, path: string) => {
    const session = await open(io, cat)
    await pour(bytesOf(session, reference, `file?${new URLSearchParams({ path })}`), io)
  })

  const bring = verb(image, 'export', 'Write an image as one tar').argument('<image>', referenceHelp)
  bring.argument('<file>', 'FILE.tar, FILE.tar.gz or FILE.tar.zst, compressed by its name; - for a tar on stdout')
  bring.action(async (reference: string, file: string) => {
    const session = await open(io, bring)
    if (file === '-') return pour(bytesOf(session, reference, 'export'), io)
    const path = resolve(io.cwd, file)
    const found = await stat(path).catch(unlessThere)
    if (found) await confirm(session, [], `${file} is there already: replace it?`)
    const size = await exportTo(session, reference, path)
    show(session, { file, size }, () => [`wrote ${file}, ${bytesText(size)}`])
  })
}

/** Entries of a version, every page. */
async function filesOf(session: Session, reference: string, under: string, recursive: boolean) {
  const param = await versionMeant(session, reference)
  const query = { under, recursive: recursive ? ('true' as const) : ('false' as const), limit: filesAtOnce }
  return allPages((after) =>
    answer(oneOf(session).versions[':version'].files.$get({ param, query: { ...query, ...after } })),
  )
}

/** Names as `ls` has them: without the directory that was asked for, which stands before each of several. */
function nameBelow(files: readonly FileEntry[], asked: string): (file: FileEntry) => string {
  const [only] = files
  if (files.length === 1 && only?.path === `/${asked.replace(/^\/+|\/+$/g, '')}`) return () => asked
  return ({ path }) => path.slice(path.lastIndexOf('/') + 1)
}

/** What a route of a version answers, as bytes. Throws when they break off. */
async function* bytesOf(session: Session, reference: string, route: string): AsyncGenerator<Uint8Array> {
  const { name, version } = await versionMeant(session, reference)
  const { body } = await session.api.request(`/api/images/${name}/versions/${version}/${route}`, {})
  if (!body) return
  try {
    yield* body
  } catch (cause) {
    if (session.io.signal?.aborted) throw cause
    throw new AppError('INTERNAL', 'the answer broke off: try again', { cause })
  }
}

/** Writes the archive beside its place and moves it there when it is whole. Answers its size. */
async function exportTo(session: Session, reference: string, path: string): Promise<number> {
  const partial = `${path}.partial`
  const meter = createMeter({ printer: session.err })
  meter.begin('exporting')
  try {
    const size = await writeCompressed(meter.counted(bytesOf(session, reference, 'export')), path, partial)
    await rename(partial, path)
    return size
  } finally {
    meter.end()
    await rm(partial, { force: true })
  }
}

function unlessThere(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error
}
