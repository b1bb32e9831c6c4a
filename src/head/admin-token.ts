/** The first token: made by the service, found in a file by the command line on the same machine. Never printed. */
import { randomUUID } from 'node:crypto'
import { mkdir, open, readFile, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { createToken, tokenVerifier } from '../auth/tokens.ts'
import { AppError } from '../errors.ts'
import type { Log } from '../log.ts'
import type { RegistryDatabase } from '../registry/schema.ts'

const name = 'admin'

/**
 * Sees to it that the file has a token that may do everything. One that is missing, or that this registry does not
 * know, is made anew, and the token `admin` that was before stops working: whoever may write the file may do that.
 */
export async function provideAdminToken(
  { registry, log, now }: { registry: RegistryDatabase; log: Log; now: () => Date },
  file: string,
): Promise<void> {
  const before = await contentOf(file)
  if (before !== undefined && (await isKnown(registry, now, before))) return
  const { token } = await createToken(
    registry,
    { name, scope: 'admin', replace: true },
    { author: 'muster', at: now(), message: `made the admin token of ${file}` },
  )
  await writeSecret(file, `${token}\n`)
  const reason = before === undefined ? 'there was none' : 'the registry did not know the one that was there'
  log('info', `wrote a new admin token: ${reason}`, { file })
}

async function isKnown(registry: RegistryDatabase, now: () => Date, token: string): Promise<boolean> {
  try {
    await tokenVerifier(registry, now)(token)
    return true
  } catch (error) {
    if (error instanceof AppError && error.code === 'TOKEN_INVALID') return false
    throw error
  }
}

async function contentOf(file: string): Promise<string | undefined> {
  try {
    return (await readFile(file, 'utf8')).trim()
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    throw error
  }
}

/** Whole or not at all, and never readable by others, not even for a moment. */
async function writeSecret(file: string, text: string): Promise<void> {
  await mkdir(dirname(file), { recursive: true, mode: 0o700 })
  const partial = `${file}.${randomUUID()}`
  try {
    const handle = await open(partial, 'wx', 0o600)
    try {
      await handle.writeFile(text)
      await handle.sync()
    } finally {
      await handle.close()
    }
    await rename(partial, file)
  } finally {
    await rm(partial, { force: true })
  }
}
