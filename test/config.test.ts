import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { readConfig, settingsTable } from '../src/config.ts'
import { AppError } from '../src/errors.ts'

const root = fileURLToPath(new URL('..', import.meta.url))

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'muster-config-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

const read = (env: Record<string, string>) => readConfig(env, folder)
const file = (text: string) => {
  writeFileSync(join(folder, 'muster.yaml'), text)
  return { MUSTER_CONFIG: 'muster.yaml' }
}
/** `NAME message` of every fault. */
const faultsOf = (env: Record<string, string>): string[] => {
  try {
    read(env)
  } catch (error) {
    if (error instanceof AppError && error.code === 'REQUEST_INVALID')
      return error.faults!.map(({ field, message }) => `${field} ${message}`)
    throw error
  }
  return []
}

describe('settings', () => {
  it('have defaults, and the rest of the environment is not looked at', () => {
    expect(read({ PATH: '/bin', MUSTERY: 'x' })).toEqual({
      host: undefined,
      port: 9080,
      url: undefined,
      data: join(root, 'var'),
      site: join(root, 'var/site'),
      cluster: 'cluster',
      tokenFile: join(root, 'var/admin.token'),
      blobs: { driver: 'fs', options: {} },
      hotBlobs: 256 * 1024 * 1024,
      collectEvery: 86_400_000,
      collectGrace: 86_400,
      files: join(root, 'var/files'),
      secretKeyFile: join(root, 'var/secret.key'),
      privateTo: 'node',
      log: 'info',
    })
  })

  it('come from the environment', () => {
    expect(
      read({
        MUSTER_HOST: '127.0.0.1',
        MUSTER_PORT: '80',
        MUSTER_URL: 'https://boot.example.org:8443/muster',
        MUSTER_DATA: 'data',
        MUSTER_SITE: '/srv/site',
        MUSTER_CLUSTER: 'sol',
        MUSTER_BLOBS: 's3',
        MUSTER_BLOBS_OPTIONS: '{"bucket":"b"}',
        MUSTER_HOT_BLOBS: '1G',
        MUSTER_COLLECT_EVERY: 'never',
        MUSTER_COLLECT_GRACE: '90m',
        MUSTER_FILES: 'files',
        MUSTER_SECRET_KEY_FILE: '/etc/muster/secret.key',
        MUSTER_PRIVATE_TO: 'ticket',
        MUSTER_LOG: 'warn',
        MUSTER_SERVER: 'anything',
        MUSTER_TOKEN: 'anything',
      }),
    ).toEqual({
      host: '127.0.0.1',
      port: 80,
      url: 'https://boot.example.org:8443/muster',
      data: join(folder, 'data'),
      site: '/srv/site',
      cluster: 'sol',
      tokenFile: join(folder, 'data/admin.token'),
      blobs: { driver: 's3', options: { bucket: 'b' } },
      hotBlobs: 1024 ** 3,
      collectEvery: undefined,
      collectGrace: 5400,
      files: join(folder, 'files'),
      secretKeyFile: '/etc/muster/secret.key',
      privateTo: 'ticket',
      log: 'warn',
    })
  })

  it('have the key of secrets among the credentials that systemd gives, if there is one', () => {
    const env = { CREDENTIALS_DIRECTORY: folder, MUSTER_DATA: '/d' }
    expect(read(env).secretKeyFile).toBe('/d/secret.key')
    writeFileSync(join(folder, 'secret.key'), '')
    expect(read(env).secretKeyFile).toBe(join(folder, 'secret.key'))
    expect(read({ ...env, MUSTER_SECRET_KEY_FILE: '/k' }).secretKeyFile).toBe('/k')
  })

  it('come from the file, below the environment; its paths start at its folder', () => {
    const config = readConfig(
      {
        ...file(
          'MUSTER_PORT: 81\nMUSTER_CLUSTER: sol\nMUSTER_DATA: d\nMUSTER_BLOBS: s3\nMUSTER_BLOBS_OPTIONS: {bucket: b}\n',
        ),
        MUSTER_CONFIG: join(folder, 'muster.yaml'),
        MUSTER_PORT: '82',
        MUSTER_CLUSTER: '',
        MUSTER_SITE: 's',
      },
      '/elsewhere',
    )
    expect(config).toMatchObject({
      port: 82,
      cluster: 'sol',
      data: join(folder, 'd'),
      site: '/elsewhere/s',
      blobs: { driver: 's3', options: { bucket: 'b' } },
    })
  })

  it.each(['', '# nothing\n', 'MUSTER_PORT:\n'])('may be an empty file: %j', (text) => {
    expect(read(file(text)).port).toBe(9080)
  })

  it.each([
    ['MUSTER_PORT', '0'],
    ['MUSTER_HOST', '::'],
    ['MUSTER_URL', 'http://[fd00::1]:9080'],
    ['MUSTER_HOT_BLOBS', '65536'],
    ['MUSTER_COLLECT_EVERY', '14d'],
    ['MUSTER_COLLECT_GRACE', '10m'],
  ])('may be %s=%s', (name, text) => {
    expect(faultsOf({ [name]: text })).toEqual([])
  })
})

describe('what is wrong with settings', () => {
  it('is told all at once, with the variable and the nearest known name', () => {
    const env = {
      ...file('MUSTER_CLUSTR: sol\nport: 1\nMUSTER_TOKEN: secret-of-the-file\n'),
      MUSTER_PROT: '80',
      MUSTER_WHATEVER: '1',
      MUSTER_URL: 'boot.example.org',
      MUSTER_HOT_BLOBS: 'plenty',
    }
    expect(faultsOf(env)).toEqual([
      'MUSTER_TOKEN belongs in the environment, not in a file',
      'MUSTER_CLUSTR is not a setting: did you mean MUSTER_CLUSTER?',
      'port is not a setting: did you mean MUSTER_PORT?',
      'MUSTER_PROT is not a setting: did you mean MUSTER_PORT?',
      'MUSTER_WHATEVER is not a setting',
      'MUSTER_URL must be a URL such as http://10.0.0.1:9080, without a slash at the end, not "boot.example.org"',
      'MUSTER_HOT_BLOBS must be a size such as 256M or 1G, not "plenty"',
    ])
    expect(() => read(env)).toThrow('7 settings are wrong')
  })

  it('is the message itself when it is one thing', () => {
    expect(() => read({ MUSTER_PORT: '65536' })).toThrow(
      'MUSTER_PORT must be a port from 0 (any free one) to 65535, not "65536"',
    )
  })

  it.each([
    ['MUSTER_PORT', '80x'],
    ['MUSTER_PORT', '-1'],
    ['MUSTER_URL', 'http://10.0.0.1:9080/'],
    ['MUSTER_URL', 'ftp://10.0.0.1'],
    ['MUSTER_URL', 'http://user:pass@10.0.0.1'],
    ['MUSTER_URL', 'http://10.0.0.1/${net0/mac}'],
    ['MUSTER_URL', 'http://10.0.0.1\nreboot'],
    ['MUSTER_CLUSTER', 'two words'],
    ['MUSTER_HOST', 'a b'],
    ['MUSTER_HOT_BLOBS', '0'],
    ['MUSTER_COLLECT_EVERY', '24'],
    ['MUSTER_COLLECT_EVERY', '15d'],
    ['MUSTER_COLLECT_GRACE', '9m'],
    ['MUSTER_COLLECT_GRACE', 'never'],
    ['MUSTER_BLOBS', 'floppy'],
    ['MUSTER_BLOBS', 'constructor'],
    ['MUSTER_BLOBS_OPTIONS', '[]'],
    ['MUSTER_BLOBS_OPTIONS', 'null'],
    ['MUSTER_LOG', 'loud'],
    ['MUSTER_DATA', 'a\0b'],
  ])('includes %s=%j', (name, text) => {
    const faults = faultsOf({ [name]: text })
    expect(faults).toHaveLength(1)
    expect(faults[0]).toMatch(new RegExp(`^${name} must be `))
  })

  it('never quotes a secret', () => {
    const told = faultsOf({ ...file('MUSTER_TOKEN: secret1'), MUSTER_BLOBS_OPTIONS: '{"key": "secret2"' }).join()
    expect(told).toContain('MUSTER_BLOBS_OPTIONS must be a JSON object')
    expect(told).not.toContain('secret')
  })

  it.each([
    ['is absent', { MUSTER_CONFIG: 'none.yaml' }, /none\.yaml cannot be read \(ENOENT\)/],
    ['is a folder', { MUSTER_CONFIG: '.' }, /cannot be read \(EISDIR\)/],
    ['is not YAML', 'MUSTER_PORT: [', /is not YAML: BAD/],
    ['has a name twice', 'MUSTER_PORT: 1\nMUSTER_PORT: 2', /is not YAML: DUPLICATE_KEY/],
    ['is a list', '- MUSTER_PORT', /must be a map/],
  ])('includes a file that %s', (_label, given, message) => {
    expect(faultsOf(typeof given === 'string' ? file(given) : given)).toEqual([expect.stringMatching(message)])
  })
})

describe('the README', () => {
  it('has the table of settings that src/config.ts prints: paste what is expected between its config markers', () => {
    const rows = settingsTable().map((row) => `| \`${row.variable}\` | ${row.default} | ${row.meaning} |`)
    const table = ['| variable | default | meaning |', '|---|---|---|', ...rows].join('\n')
    const [, rest = ''] = readFileSync(join(root, 'README.md'), 'utf8').split('<!-- config -->\n')
    const [written] = rest.split('\n<!-- /config -->')
    expect(written).toBe(table)
  })
})
