import { spawnSync } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { secretKinds } from '../../src/overlays/manifest.ts'
import { generate } from '../../src/secrets/generate.ts'
import { mpint, publicLineOf } from '../../src/secrets/openssh.ts'
import { createSshKey, type SshKeyKind } from '../../src/secrets/ssh-key.ts'
import { openssh } from './openssh-tools.ts'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'muster-ssh-'))
})
afterAll(() => rm(folder, { recursive: true }))

const write = async (name: string, text: string) => {
  await writeFile(join(folder, name), text, { mode: 0o600 })
  return join(folder, name)
}

/** Kinds, how `ssh-keygen -l` tells their size and type, and how many are made: some fields depend on chance. */
const kinds: [kind: SshKeyKind, told: RegExp, count: number][] = [
  ['ssh-ed25519', /^256 SHA256:\S+ root@n001 \(ED25519\)$/m, 20],
  // One key in 128 has a coordinate or number that begins with a zero byte, every other one with a high bit.
  ['ssh-ecdsa', /^256 SHA256:\S+ root@n001 \(ECDSA\)$/m, 40],
  ['ssh-rsa', /^3072 SHA256:\S+ root@n001 \(RSA\)$/m, 2],
]

describe.each(kinds)('a key pair of %s', (kind, told, count) => {
  it('is what ssh-keygen takes it for, both halves of one key', async () => {
    for (let made = 0; made < count; made++) {
      const pair = await createSshKey(kind, 'root@n001')
      const file = await write(`${kind}-${made}`, pair.private)
      expect(openssh('ssh-keygen', ['-y', '-P', '', '-f', file]).trim()).toBe(pair.public)
      expect(publicLineOf(pair.private)).toBe(pair.public.split(' ').slice(0, 2).join(' '))
    }
  })

  it('has its size, comment and bubble babble', async () => {
    const pair = await createSshKey(kind, 'root@n001')
    const file = await write(`${kind}-listed`, pair.private)
    const half = await write(`${kind}-listed.pub`, `${pair.public}\n`)
    for (const one of [file, half]) {
      expect(openssh('ssh-keygen', ['-l', '-f', one])).toMatch(told)
      expect(openssh('ssh-keygen', ['-B', '-f', one])).toMatch(/ x[a-z]{4}-/)
    }
    expect(openssh('ssh-keygen', ['-l', '-f', file])).toBe(openssh('ssh-keygen', ['-l', '-f', half]))
  })

  it('signs, and what it signs is verified', async () => {
    const pair = await createSshKey(kind, 'root@n001')
    const file = await write(`${kind}-signer`, pair.private)
    const text = await write(`${kind}-text`, 'some text')
    openssh('ssh-keygen', ['-Y', 'sign', '-q', '-f', file, '-n', 'file', text])
    const allowed = await write(`${kind}-allowed`, `root@n001 ${pair.public}\n`)
    const args = ['-Y', 'verify', '-f', allowed, '-I', 'root@n001', '-n', 'file', '-s', `${text}.sig`]
    expect(spawnSync('ssh-keygen', args, { input: 'some text' }).status).toBe(0)
    expect(spawnSync('ssh-keygen', args, { input: 'some other' }).status).not.toBe(0)
  })

  it('is a host key that sshd starts with', async () => {
    const file = await write(`${kind}-host`, (await createSshKey(kind, 'root@n001')).private)
    // sshd looks for the directory of its unprivileged child before it looks at keys.
    await mkdir('/run/sshd', { recursive: true, mode: 0o755 })
    openssh('/usr/sbin/sshd', ['-t', '-f', '/dev/null', '-h', file])
  })

  it('is never made twice', async () => {
    const [one, other] = await Promise.all([createSshKey(kind, ''), createSshKey(kind, '')])
    expect(one.public).not.toBe(other.public)
    expect(one.public.split(' ')).toHaveLength(2)
  })
})

describe('the public half', () => {
  it.each(['ed25519', 'ecdsa', 'rsa'])(
    'is found in a key that ssh-keygen made: %s, also when it is encrypted',
    async (type) => {
      for (const passphrase of ['', 'secret']) {
        const file = join(folder, `made-${type}-${passphrase}`)
        openssh('ssh-keygen', ['-q', '-t', type, '-N', passphrase, '-C', 'x', '-f', file])
        const text = openssh('ssh-keygen', ['-y', '-P', passphrase, '-f', file]).trim()
        expect(publicLineOf(await readFile(file, 'utf8'))).toBe(text.split(' ').slice(0, 2).join(' '))
      }
    },
  )

  it.each([
    ['a password', 'hunter2'],
    ['nothing', ''],
    ['a key in PEM', '-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIA==\n-----END PRIVATE KEY-----\n'],
    ['a header with nothing in it', '-----BEGIN OPENSSH PRIVATE KEY-----\n\n-----END OPENSSH PRIVATE KEY-----\n'],
    ['something else in base64', '-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n'],
  ])('is not found in %s', (_label, text) => {
    expect(publicLineOf(text)).toBeUndefined()
  })

  it('is not looked for beyond the end of a file that is cut off', async () => {
    const { private: text } = await createSshKey('ssh-ed25519', 'x')
    const [first = '', ...lines] = text.trim().split('\n')
    const last = lines.pop() ?? ''
    const body = Buffer.from(lines.join(''), 'base64')
    for (let length = 0; length < 60; length++) {
      const cut = [first, body.subarray(0, length).toString('base64'), last].join('\n')
      expect(publicLineOf(`${cut}\n`)).toBeUndefined()
    }
  })
})

it('numbers have no zeros in front but the one that keeps them positive (RFC 4251 §5)', () => {
  const told = (...bytes: number[]) => Buffer.from(mpint(Uint8Array.from(bytes))).toString('hex')
  expect(told(0, 0)).toBe('00000000')
  expect(told(0x80)).toBe('000000020080')
  expect(told(0x09, 0xa3, 0x78)).toBe('0000000309a378')
  expect(told(0, 0, 0x7f)).toBe('000000017f')
})

it.each(secretKinds)('%s is made as text, with a public half if it is a key pair', async (kind) => {
  const made = await generate(kind, 'root@n001')
  if (kind === 'random') {
    expect(made.public).toBeUndefined()
    expect(Buffer.from(made.text, 'base64')).toHaveLength(32)
    expect(made.text).toMatch(/^[A-Za-z0-9+/]{43}=$/)
  } else {
    expect(made.text).toMatch(/^-----BEGIN OPENSSH PRIVATE KEY-----\n[\s\S]*-----END OPENSSH PRIVATE KEY-----\n$/)
    expect(made.public).toMatch(/^\S+ \S+ root@n001$/)
  }
})
