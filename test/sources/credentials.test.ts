import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { findCredentials, matchingKey } from '../../src/sources/credentials.ts'
import { emptyFolder } from './rig.ts'

const image = { registry: 'quay.io', repository: 'site/hpc/rocky' }
const auth = (text: string) => ({ auth: Buffer.from(text).toString('base64') })

/** A home with files in it; the paths are below it, the contents JSON. */
function home(files: Record<string, unknown>, env: Record<string, string> = {}) {
  const cwd = emptyFolder()
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(dirname(join(cwd, path)), { recursive: true })
    writeFileSync(join(cwd, path), typeof content === 'string' ? content : JSON.stringify(content))
  }
  const placed = Object.entries(env).map(([name, path]) => [name, join(cwd, path)])
  return { cwd, env: { HOME: cwd, PATH: `${cwd}/bin:${process.env.PATH}`, ...Object.fromEntries(placed) } }
}

/** A helper that notes what it was asked, and answers. */
function helper({ cwd }: { cwd: string }, name: string, script: string): () => string {
  mkdirSync(join(cwd, 'bin'), { recursive: true })
  const asked = join(cwd, `asked-${name}`)
  const text = `#!/bin/sh\nprintf '%s ' "$@" >${asked}\ncat >>${asked}\n${script}\n`
  writeFileSync(join(cwd, 'bin', `docker-credential-${name}`), text, { mode: 0o755 })
  return () => readFileSync(asked, 'utf8')
}

describe('the key of a login', () => {
  it.each([
    [
      'the repository before its namespaces',
      ['quay.io', 'quay.io/site', 'quay.io/site/hpc', 'quay.io/site/hpc/rocky'],
      'quay.io/site/hpc/rocky',
    ],
    ['the longest namespace', ['quay.io', 'quay.io/site/hpc', 'quay.io/site'], 'quay.io/site/hpc'],
    ['the registry when nothing longer fits', ['quay.io/other', 'quay.io', 'quay.io/sit'], 'quay.io'],
    ['the URL that docker once wrote', ['https://quay.io/v1/'], 'https://quay.io/v1/'],
    ['the name before the URL', ['https://quay.io', 'quay.io'], 'quay.io'],
    ['a name in capitals', ['Quay.IO'], 'Quay.IO'],
    ['nothing of another registry', ['quay.io.evil.example', 'evil-quay.io', 'quay.io:5000'], undefined],
    ['nothing of a longer name', ['quay.io/site/hpc/rocky9', 'quay.io/site/hpc/rocky/x'], undefined],
  ])('is %s', (_name, keys, key) => {
    expect(
      matchingKey(
        keys.map((one) => [one, one]),
        image,
      ),
    ).toBe(key)
    expect(
      matchingKey(
        keys.toReversed().map((one) => [one, one]),
        image,
      ),
    ).toBe(key)
  })

  it.each(['https://index.docker.io/v1/', 'index.docker.io', 'docker.io', 'registry-1.docker.io'])(
    'of Docker Hub may be %s',
    (key) => {
      expect(matchingKey([[key, key]], { registry: 'docker.io', repository: 'library/rocky' })).toBe(key)
    },
  )
})

describe('logins', () => {
  const files = {
    'run/containers/auth.json': { auths: { 'quay.io': auth('runtime:a') } },
    '.config/containers/auth.json': { auths: { 'quay.io': auth('config:b') } },
    '.docker/config.json': { auths: { 'quay.io': auth('docker:c') } },
    'given.json': { auths: { 'quay.io': auth('given:d') } },
  }

  it('are looked for where podman and docker keep them, podman first', async () => {
    const without = (...names: string[]) =>
      Object.fromEntries(Object.entries(files).filter(([name]) => !names.includes(name)))
    const user = async (given: Record<string, unknown>) => {
      const found = await findCredentials(image, home(given, { XDG_RUNTIME_DIR: 'run' }))
      return found && 'username' in found ? found.username : undefined
    }
    expect(await user(files)).toBe('runtime')
    expect(await user(without('run/containers/auth.json'))).toBe('config')
    expect(await user(without('run/containers/auth.json', '.config/containers/auth.json'))).toBe('docker')
    expect(await user({})).toBeUndefined()
  })

  it('are looked for further when a file has none for the registry', async () => {
    const place = home(
      { ...files, 'run/containers/auth.json': { auths: { 'other.io': auth('x:y') } } },
      { XDG_RUNTIME_DIR: 'run' },
    )
    expect(await findCredentials(image, place)).toMatchObject({ username: 'config', password: 'b' })
  })

  it('come from the file that is named alone', async () => {
    const place = home(files, { REGISTRY_AUTH_FILE: 'given.json' })
    expect(await findCredentials(image, place)).toEqual({
      username: 'given',
      password: 'd',
      from: join(place.cwd, 'given.json'),
    })
    const other = { ...place, authfile: '.docker/config.json' }
    expect(await findCredentials(image, other)).toMatchObject({ username: 'docker' })
    expect(await findCredentials({ ...image, registry: 'ghcr.io' }, place)).toBeUndefined()
    await expect(findCredentials(image, { ...place, authfile: 'nowhere.json' })).rejects.toMatchObject({
      code: 'SOURCE_DENIED',
    })
  })

  it('may have colons, letters of all kinds, and the NULs that docker once added', async () => {
    const place = home({ 'a.json': { auths: { 'quay.io': auth('ü:p:ä\0\0') } } })
    expect(await findCredentials(image, { ...place, authfile: 'a.json' })).toMatchObject({
      username: 'ü',
      password: 'p:ä',
    })
  })

  it('may be an identity token', async () => {
    const place = home({ 'a.json': { auths: { 'quay.io': { ...auth('<token>:'), identitytoken: 'abc' } } } })
    expect(await findCredentials(image, { ...place, authfile: 'a.json' })).toMatchObject({ identityToken: 'abc' })
  })

  it.each([
    ['no JSON', '{'],
    ['no object', '[]'],
    ['a list of logins', { auths: [] }],
    ['a login that is no base64', { auths: { 'quay.io': { auth: '***' } } }],
    ['a login without a colon', { auths: { 'quay.io': auth('hunter2') } }],
    ['a login that is no text', { auths: { 'quay.io': { auth: 7 } } }],
    ['a login that is nested too deep', `{"auths":${'['.repeat(100)}${']'.repeat(100)}}`],
  ])('in a file with %s are refused, and not shown', async (_name, content) => {
    const place = home({ 'a.json': content })
    const refusal = await findCredentials(image, { ...place, authfile: 'a.json' }).catch((error: Error) => error)
    expect(refusal).toMatchObject({ code: 'SOURCE_INVALID', message: expect.stringContaining('a.json') })
    expect(String(refusal)).not.toMatch(/hunter2|aHVudGVyMg/)
  })
})

describe('a credential helper', () => {
  it('is asked for the registry on its stdin, and no shell is in between', async () => {
    const place = home({ 'a.json': { credHelpers: { 'quay.io': 'keys' }, auths: { 'quay.io': auth('file:x') } } })
    const asked = helper(place, 'keys', 'echo \'{"ServerURL":"quay.io","Username":"kept","Secret":"by program"}\'')
    expect(await findCredentials(image, { ...place, authfile: 'a.json' })).toEqual({
      username: 'kept',
      password: 'by program',
      from: 'docker-credential-keys',
    })
    expect(asked()).toBe('get quay.io')
  })

  it('for everything is asked when there is no entry, or an empty one, and by the old name of Docker Hub', async () => {
    const place = home({ 'a.json': { credsStore: 'store', auths: { 'https://index.docker.io/v1/': {} } } })
    const asked = helper(place, 'store', 'echo \'{"Username":"<token>","Secret":"identity"}\'')
    const hub = { registry: 'docker.io', repository: 'library/rocky' }
    expect(await findCredentials(hub, { ...place, authfile: 'a.json' })).toMatchObject({ identityToken: 'identity' })
    expect(asked()).toBe('get https://index.docker.io/v1/')
  })

  it('that knows nothing of a registry leaves it to the next file', async () => {
    const place = home({
      '.config/containers/auth.json': { credHelpers: { 'quay.io': 'keys' } },
      '.docker/config.json': { auths: { 'quay.io': auth('docker:c') } },
    })
    helper(place, 'keys', 'echo credentials not found in native keychain\nexit 1')
    expect(await findCredentials(image, place)).toMatchObject({ username: 'docker' })
  })

  it.each([
    ['is not installed', 'missing', '', /not installed/],
    ['fails', 'keys', 'echo top secret\nexit 3', /exit code 3/],
    ['answers nonsense', 'keys', 'echo top secret', /is no JSON/],
    ['answers without a secret', 'keys', 'echo \'{"Username":"a"}\'', /without a user or a secret/],
    ['answers without end', 'keys', 'exec yes topsecret', /longer than/],
    ['has a name that is a path', '../keys', '', /no name of a credential helper/],
    ['has a name that is an option', '-x', '', /no name of a credential helper/],
  ])('that %s is named, and what it said is not', async (_name, named, script, message) => {
    const place = home({ 'a.json': { credHelpers: { 'quay.io': named } } })
    helper(place, 'keys', script)
    const refusal = await findCredentials(image, { ...place, authfile: 'a.json' }).catch((error: Error) => error)
    expect(refusal).toMatchObject({ code: expect.stringMatching(/^SOURCE_/), message: expect.stringMatching(message) })
    expect(String(refusal)).not.toMatch(/secret\b.*top|top ?secret/)
  })
})
