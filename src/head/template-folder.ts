/** The folder of files that templates may include (`MUSTER_FILES`): what is in it may reach every node. */
import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { AppError } from '../errors.ts'

/** No account file or key is larger, and all that is included is held in memory. */
const largest = 16 * 1024 * 1024

/**
 * A function that reads a file by its path in the folder; `undefined` when there is none, or something else than a file. Links
 * are followed wherever they lead: whoever may write here decides. Throws `NAME_INVALID` for a path that leaves the folder and
 * `TEMPLATE_INVALID` for a huge file; what cannot be read throws as the file system says it.
 */
export const templateFolder =
  (folder: string) =>
  async (path: string): Promise<Uint8Array<ArrayBuffer> | undefined> => {
    if (path.includes('\0') || path.split('/').some((part) => ['', '.', '..'].includes(part)))
      throw new AppError('NAME_INVALID', `not a path in ${folder}: ${JSON.stringify(path.slice(0, 200))}`)
    const file = join(folder, path)
    try {
      // A pipe or device would be read for ever.
      const found = await stat(file)
      if (!found.isFile()) return undefined
      if (found.size > largest)
        throw new AppError(
          'TEMPLATE_INVALID',
          `${file} has ${found.size} bytes, more than a template includes (${largest})`,
        )
      return new Uint8Array(await readFile(file))
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? error.code : undefined
      if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
      throw error
    }
  }
