/** What git knows of a directory: the commit that is checked out, and whether files were changed since. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import type { Io } from './io.ts'

/** A checkout. */
export type Git = { commit: string; dirty: boolean }

const run = promisify(execFile)

/** The checkout that a directory is in; `undefined` when it is in none, or git is not installed. */
export async function gitOf(directory: string, io: Io): Promise<Git | undefined> {
  const git = async (...args: string[]) =>
    (await run('git', ['-C', directory, ...args], { env: io.env as NodeJS.ProcessEnv, maxBuffer: 64 << 20 })).stdout
  try {
    const commit = (await git('rev-parse', 'HEAD')).trim()
    return { commit, dirty: (await git('status', '--porcelain')).trim() !== '' }
  } catch {
    // Not every Containerfile is under git; that it is not is no reason to refuse its image.
    return undefined
  }
}
