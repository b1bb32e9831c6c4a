/** The key of secrets, in a file that only the service can read. Made at the first start; never printed. */
import { randomBytes, randomUUID } from 'node:crypto'
import { link, mkdir, open, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { AppError } from '../errors.ts'
import type { Log } from '../log.ts'
import type { RegistryDatabase } from '../registry/schema.ts'
import { hasSecrets } from '../registry/secret-records.ts'
import type { SecretKey } from '../secrets/key.ts'
import { createSecretKey, missingKey, parseKey } from '../secrets/seal.ts'

/**
 * The key that the file has. Where there is no file and nothing was sealed yet, one is made. Where something was, making a
 * new key would hide that the old one is lost: the service then starts, and secrets alone are refused. Throws an error
 * whose message says what to do when others can read the file, or when it has something else in it.
 */
export async function provideSecretKey(
  { registry, log }: { registry: RegistryDatabase; log: Log },
  file: string,
): Promise<SecretKey> {
  const kept = await readKey(file)
  if (kept) {
    const key = await createSecretKey(kept, file)
    if (await hasSecrets(registry, key.id))
      log('error', 'some secrets were sealed with another key: bring that one back, or set them again', { file })
    return key
  }
  if (await hasSecrets(registry)) {
    const why = `${file} is not there, and secrets were sealed with the key that was in it: bring it back from a backup and start again. If it is lost, \`(umask 077; openssl rand -hex 32 > ${file})\` makes another, and all secrets must be set again`
    log('error', 'the key of secrets is missing: nothing that needs a secret can be had', { file, why })
    return missingKey(file, why)
  }
  await writeKey(file)
  // Another process may have been quicker: what is in the file counts.
  const made = await readKey(file)
  if (!made) throw refusal(file, 'went away while it was written')
  log('info', 'made the key of secrets: back it up, apart from the registry', { file })
  return createSecretKey(made, file)
}

/** The file's 32 bytes; `undefined` when there is no such file. */
async function readKey(file: string): Promise<Uint8Array<ArrayBuffer> | undefined> {
  try {
    const handle = await open(file, 'r')
    try {
      const { mode, uid } = await handle.stat()
      const fault = faultOf(file, mode, uid)
      if (fault) throw refusal(file, fault)
      const key = parseKey(await handle.readFile('utf8'))
      if (!key) throw refusal(file, 'must have 64 hex digits in it and nothing else: `openssl rand -hex 32` makes some')
      return key
    } finally {
      await handle.close()
    }
  } catch (error) {
    if (error instanceof AppError) throw error
    const code = error instanceof Error && 'code' in error ? error.code : String(error)
    if (code === 'ENOENT') return undefined
    throw refusal(file, `cannot be read (${code}): give it to the user that the service runs as`, error)
  }
}

/**
 * Who else could read or write the file. What belongs to root and is read through its group is fine: so are systemd's
 * credentials, whose ACL for the service's user stats as a group's right (systemd.exec(5), acl(5)).
 */
function faultOf(file: string, mode: number, owner: number): string | undefined {
  const me = process.getuid?.() ?? owner
  if (owner !== 0 && owner !== me) return `belongs to user ${owner}, who could replace it: \`chown ${me} ${file}\``
  const forbidden = owner === me ? 0o077 : 0o027
  if ((mode & forbidden) === 0) return undefined
  const octal = (mode & 0o777).toString(8).padStart(4, '0')
  return `can be read or written by others (mode ${octal}): \`chmod ${owner === me ? '0600' : '0640'} ${file}\``
}

/** Whole or not at all, never over another, and never readable by others, not even for a moment. */
async function writeKey(file: string): Promise<void> {
  const partial = `${file}.${randomUUID()}`
  try {
    await mkdir(dirname(file), { recursive: true, mode: 0o700 })
    const handle = await open(partial, 'wx', 0o600)
    try {
      await handle.writeFile(`${randomBytes(32).toString('hex')}\n`)
      await handle.sync()
    } finally {
      await handle.close()
    }
    await link(partial, file)
    const folder = await open(dirname(file), 'r')
    try {
      // The name must be on disk, too, before anything is sealed with what it names.
      await folder.sync()
    } finally {
      await folder.close()
    }
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : String(error)
    if (code !== 'EEXIST') throw refusal(file, `cannot be made (${code}): set MUSTER_SECRET_KEY_FILE`, error)
  } finally {
    await rm(partial, { force: true })
  }
}

const refusal = (file: string, fault: string, cause?: unknown): AppError =>
  new AppError('INTERNAL', `the key of secrets ${file} ${fault}`, { cause })
