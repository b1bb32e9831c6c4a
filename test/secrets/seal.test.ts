import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { fromBase64, toBase64 } from '../../src/archive/base64.ts'
import { createSecretKey, missingKey, parseKey } from '../../src/secrets/seal.ts'

const keyOf = (byte: number, from = '/var/lib/muster/secret.key') =>
  createSecretKey(new Uint8Array(32).fill(byte), from)

describe('a seal', () => {
  it('gives back any text, and never looks like it', async () => {
    const key = await keyOf(1)
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: 'grapheme', maxLength: 300 }), fc.string(), async (text, context) => {
        const sealed = await key.seal(text, context)
        expect(await key.open(sealed, context)).toBe(text)
        if (text.length > 8) expect(atob(sealed)).not.toContain(text)
      }),
    )
  })

  it('holds 64 KiB and a byte order mark', async () => {
    const key = await keyOf(1)
    const text = `\ufeff${'x'.repeat(65_536)}`
    expect(await key.open(await key.seal(text, 'c'), 'c')).toBe(text)
  })

  it('is another one each time', async () => {
    const key = await keyOf(1)
    const seals = await Promise.all(Array.from({ length: 100 }, () => key.seal('same', 'c')))
    expect(new Set(seals).size).toBe(100)
    expect(new Set(seals.map((sealed) => sealed.slice(0, 16))).size).toBe(100)
  })

  it('is not opened with another key, for another owner or name, or when a single bit is altered', async () => {
    const key = await keyOf(1)
    const sealed = await key.seal('a very secret text', 'node:n1/munge')
    const locked = { code: 'SECRET_LOCKED' }
    await expect((await keyOf(2)).open(sealed, 'node:n1/munge')).rejects.toMatchObject(locked)
    await expect(key.open(sealed, 'node:n2/munge')).rejects.toMatchObject(locked)
    const bytes = fromBase64(sealed)
    for (let at = 0; at < bytes.length * 8; at++) {
      const altered = bytes.slice()
      altered[at >> 3]! ^= 1 << (at & 7)
      await expect(key.open(toBase64(altered), 'node:n1/munge')).rejects.toMatchObject(locked)
    }
    for (const other of ['', 'AAAA', '%', sealed.slice(0, -8)])
      await expect(key.open(other, 'node:n1/munge')).rejects.toMatchObject(locked)
  })

  it('is refused with the names of the secret and of the file, and without the text', async () => {
    const sealed = await (await keyOf(1)).seal('hunter2', 'node:n1/munge')
    const error = await (await keyOf(2, '/etc/muster/key')).open(sealed, 'node:n1/munge').catch((thrown) => thrown)
    expect(error.message).toMatch(
      /^secret node:n1\/munge cannot be opened with the key [0-9a-f]{16} of \/etc\/muster\/key:/,
    )
    expect(error.message).not.toContain('hunter2')
  })
})

describe('a key', () => {
  it('is named by something that does not tell it, the same every time', async () => {
    const [one, again, other] = await Promise.all([keyOf(1), keyOf(1), keyOf(2)])
    expect(one.id).toMatch(/^[0-9a-f]{16}$/)
    expect(again.id).toBe(one.id)
    expect(other.id).not.toBe(one.id)
    expect(one.id).not.toContain('01010101')
  })

  it.each([
    ['64 digits', 'ab'.repeat(32)],
    ['64 digits and a newline', `${'AB'.repeat(32)}\n`],
  ])('is read from %s', (_label, text) => {
    expect(parseKey(text)).toEqual(new Uint8Array(32).fill(0xab))
  })

  it.each([
    ['nothing', ''],
    ['63 digits', 'a'.repeat(63)],
    ['66 digits', 'a'.repeat(66)],
    ['other letters', 'g'.repeat(64)],
    ['two lines', `${'a'.repeat(32)}\n${'a'.repeat(32)}`],
  ])('is not read from %s', (_label, text) => {
    expect(parseKey(text)).toBeUndefined()
  })

  it('that is missing refuses both ways and says why', async () => {
    const key = missingKey('/k', 'bring it back')
    for (const refused of [key.seal('hunter2', 'cluster/a'), key.open('x', 'cluster/a')])
      await expect(refused).rejects.toMatchObject({
        code: 'SECRET_LOCKED',
        message: 'secret cluster/a is locked: bring it back',
      })
  })
})

it('base64 is that of the platform', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 20_000 }), (bytes) => {
      expect(toBase64(bytes)).toBe(Buffer.from(bytes).toString('base64'))
      expect(Buffer.from(fromBase64(toBase64(bytes))).equals(Buffer.from(bytes))).toBe(true)
    }),
    { numRuns: 30 },
  )
})
