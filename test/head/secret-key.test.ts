import { execFile } from 'node:child_process'
import { chmod, chown, link, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { provideSecretKey } from '../../src/head/secret-key.ts'
import type { RegistryDatabase } from '../../src/registry/schema.ts'
import { deleteSecret, setSecret } from '../../src/registry/secrets.ts'
import { openRegistry } from '../../src/registry/sqlite.ts'
import { freePort, startHeadProcess } from '../crash/head-process.ts'

let folder: string
let file: string
let registry: RegistryDatabase
let close: () => void
let logged: string[]
const log = (level: string, message: string, facts?: object) =>
  logged.push(`${level} ${message} ${JSON.stringify(facts)}`)
const provide = (at = file) => provideSecretKey({ registry, log }, at)
const digits = 'ab'.repeat(32)
const editor = { author: 'test', at: new Date() }
const write = async (text: string, mode = 0o600) => {
  await writeFile(file, text)
  await chmod(file, mode)
}

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'muster-key-'))
  file = join(folder, 'keys', 'secret.key')
  await mkdir(join(folder, 'keys'))
  const opened = openRegistry(join(folder, 'registry.db'))
  registry = opened.database
  close = opened.close
  logged = []
})
afterEach(async () => {
  close()
  await rm(folder, { recursive: true })
})

describe('the key of secrets', () => {
  it('is made at the first start, for the service alone, and is the same from then on', async () => {
    const key = await provide()
    expect(await readFile(file, 'utf8')).toMatch(/^[0-9a-f]{64}\n$/)
    expect((await stat(file)).mode & 0o777).toBe(0o600)
    expect(await readdir(join(folder, 'keys'))).toEqual(['secret.key'])
    expect(key.from).toBe(file)
    const sealed = await key.seal('text', 'cluster/a')
    expect(await (await provide()).open(sealed, 'cluster/a')).toBe('text')
    expect(logged).toHaveLength(1)
    expect(logged[0]).toContain('back it up')
    expect(logged.join()).not.toContain((await readFile(file, 'utf8')).trim())
  })

  it('is made in a folder that is not there yet, which others cannot look into', async () => {
    const deep = join(folder, 'a', 'b', 'secret.key')
    await provide(deep)
    expect((await stat(join(folder, 'a', 'b'))).mode & 0o777).toBe(0o700)
  })

  it('is one and the same when many start at once', async () => {
    const keys = await Promise.all(Array.from({ length: 10 }, () => provide()))
    expect(new Set(keys.map(({ id }) => id)).size).toBe(1)
    expect(await readdir(join(folder, 'keys'))).toEqual(['secret.key'])
  })

  it.each([
    ['digits alone', digits],
    ['capitals and a newline', `${digits.toUpperCase()}\n`],
  ])('is read from %s', async (_label, text) => {
    await write(text)
    const other = join(folder, 'other.key')
    await writeFile(other, digits, { mode: 0o600 })
    expect((await provide()).id).toBe((await provide(other)).id)
    expect(logged).toEqual([])
  })

  it.each([0o640, 0o604, 0o660, 0o644, 0o620, 0o601])('is refused with mode %o: others could have it', async (mode) => {
    await write(digits, mode)
    const shown = mode.toString(8).padStart(4, '0')
    await expect(provide()).rejects.toThrow(
      `the key of secrets ${file} can be read or written by others (mode ${shown}): \`chmod 0600 ${file}\``,
    )
    await chmod(file, 0o600)
    await provide()
  })

  it.each([
    ['nothing', ''],
    ['a digit too few', digits.slice(1)],
    ['a password', 'hunter2'],
  ])('is refused when the file has %s in it, which is not told and not replaced', async (_label, text) => {
    await write(text)
    const error = await provide().catch((thrown) => thrown)
    expect(error.message).toMatch(/must have 64 hex digits in it and nothing else: `openssl rand -hex 32` makes some$/)
    if (text !== '') expect(error.message).not.toContain(text)
    expect(await readFile(file, 'utf8')).toBe(text)
  })

  it('is refused when it is no file, or cannot be made', async () => {
    await mkdir(file)
    await expect(provide()).rejects.toThrow(
      /secret\.key (?:cannot be read \(EISDIR\)|can be read or written by others)/,
    )
    await writeFile(join(folder, 'plain'), '')
    await expect(provide(join(folder, 'plain', 'secret.key'))).rejects.toThrow(/\(ENOTDIR\)/)
  })

  it('that is gone while secrets are there is not made anew: the service starts, and says what to do', async () => {
    const first = await provide()
    await setSecret({ registry, secretKey: first }, editor, { owner: 'cluster', name: 'munge', value: 'x' })
    await link(file, join(folder, 'backup'))
    await rm(file)
    logged = []
    const missing = await provide()
    expect(await readdir(join(folder, 'keys'))).toEqual([])
    const way = `${file} is not there, and secrets were sealed with the key that was in it: bring it back from a backup and start again. If it is lost, \`(umask 077; openssl rand -hex 32 > ${file})\` makes another, and all secrets must be set again`
    await expect(missing.seal('x', 'cluster/a')).rejects.toMatchObject({
      code: 'SECRET_LOCKED',
      message: `secret cluster/a is locked: ${way}`,
    })
    expect(logged).toEqual([expect.stringMatching(/^error the key of secrets is missing/)])
    logged = []
    await link(join(folder, 'backup'), file)
    expect((await provide()).id).toBe(first.id)
    expect(logged).toEqual([])
    await rm(file)
    await writeFile(file, `${'ab'.repeat(32)}\n`, { mode: 0o600 })
    await provide()
    expect(logged).toEqual([
      expect.stringMatching(/^error some secrets were sealed with another key: bring that one back/),
    ])
    await rm(file)
    await deleteSecret(registry, editor, { owner: 'cluster', name: 'munge' })
    expect((await provide()).id).not.toBe(first.id)
  })
})

describe('as another user than root', () => {
  const nobody = 65534
  /** The id of the key that a process of that user finds, or what it says. Fails where this test is not root. */
  const asNobody = async () => {
    if (process.getuid?.() !== 0) throw new Error('this test must be root, to start a process as another user')
    await chmod(folder, 0o755)
    const home = join(folder, 'home')
    await mkdir(home, { recursive: true })
    await chown(home, nobody, nobody)
    const child = new URL('./secret-key-child.ts', import.meta.url).pathname
    return new Promise<string>((resolve, reject) => {
      execFile(process.execPath, [child, home, file], { uid: nobody, gid: nobody }, (error, out, err) =>
        error ? reject(new Error(`${error.message}\n${err}`)) : resolve(out),
      )
    })
  }

  it('takes a file of root that it may read through its group, as systemd gives credentials', async () => {
    await write(digits, 0o440)
    await chown(file, 0, nobody)
    expect(await asNobody()).toMatch(/^[0-9a-f]{16}$/)
  })

  it.each([
    ['everybody can read', 0o444, 0, '`chmod 0640 '],
    ['its group can write', 0o660, 0, '`chmod 0640 '],
    ['is its own and its group can read', 0o640, nobody, '`chmod 0600 '],
    ['belongs to a third user', 0o640, 4711, 'belongs to user 4711, who could replace it: `chown 65534 '],
    ['it cannot read', 0o600, 0, 'cannot be read (EACCES): give it to the user that the service runs as'],
  ])('refuses a file that %s', async (_label, mode, owner, told) => {
    await write(digits, mode)
    await chown(file, owner, nobody)
    expect(await asNobody()).toContain(told)
  })
})

it('a head node opens after kill -9 what it sealed before, and never prints a secret or the key', async () => {
  const data = join(folder, 'data')
  const port = await freePort()
  const canary = 'kanarienvogel-77aa'
  const outputs: string[] = []
  const run = async (
    work: (call: (method: string, path: string, body?: unknown) => Promise<unknown>) => Promise<void>,
  ) => {
    const head = await startHeadProcess(data, port)
    try {
      await work(async (method, path, body) => {
        const answer = await fetch(`${head.url}/api/${path}`, {
          method,
          headers: { authorization: `Bearer ${head.token}`, 'content-type': 'application/json' },
          ...(body !== undefined && { body: JSON.stringify(body) }),
        })
        const text = await answer.text()
        outputs.push(text)
        if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`)
        return text === '' ? undefined : JSON.parse(text)
      })
    } finally {
      await head.kill()
      outputs.push(head.output())
    }
  }
  await run(async (call) => {
    await call('PUT', 'nodes/n001', {})
    await call('PUT', 'secrets/node:n001/munge', { value: canary })
  })
  const key = (await readFile(join(data, 'secret.key'), 'utf8')).trim()
  expect((await stat(join(data, 'secret.key'))).mode & 0o777).toBe(0o600)
  await run(async (call) => {
    expect(await call('GET', 'secrets?node=n001')).toMatchObject({ items: [{ owner: 'node:n001', name: 'munge' }] })
  })
  const opened = openRegistry(join(data, 'registry.db'))
  const row = await opened.database.query.secrets.findFirst()
  opened.close()
  const kept = await provide(join(data, 'secret.key'))
  expect(await kept.open(row?.sealed ?? '', 'node:n001/munge')).toBe(canary)
  for (const secret of [canary, key]) expect(outputs.join('\n')).not.toContain(secret)
}, 60_000)
