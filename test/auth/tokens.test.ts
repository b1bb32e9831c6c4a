import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import {
  createToken,
  deleteToken,
  hashOf,
  includes,
  listTokens,
  newToken,
  tokenVerifier,
} from '../../src/auth/tokens.ts'
import { getRevision } from '../../src/registry/revisions.ts'
import { type RegistryDatabase, tokens } from '../../src/registry/schema.ts'
import { type Databases, sqliteDatabases } from '../databases.ts'

const noon = new Date('2026-01-31T12:00:00Z')
const editor = { author: 'tester', at: noon }

describe('tokens', () => {
  let databases: Databases
  let db: RegistryDatabase
  let clock: Date
  let verify: ReturnType<typeof tokenVerifier>
  beforeEach(async () => {
    databases = await sqliteDatabases()
    db = databases.registry
    clock = noon
    verify = tokenVerifier(db, () => clock)
  })
  afterEach(() => databases.close())

  it('are 256 random bits behind a prefix, never the same twice', () => {
    const some = Array.from({ length: 100 }, newToken)
    for (const token of some) expect(token).toMatch(/^muster_[0-9a-f]{64}$/)
    expect(new Set(some).size).toBe(100)
  })

  it('are known by their hash: the database and the history have no other trace of the secret', async () => {
    const { token } = await createToken(db, { name: 'ci', scope: 'edit' }, editor)
    const [row] = await db.select().from(tokens).all()
    expect(row?.hash).toBe(await hashOf(token))
    const everything = JSON.stringify([row, await getRevision(db, 1), await listTokens(db)])
    expect(everything).not.toContain(token)
    expect(everything).not.toContain(token.slice('muster_'.length))
    expect(JSON.stringify([await getRevision(db, 1), await listTokens(db)])).not.toContain(row?.hash)
  })

  it('tell whose they are', async () => {
    const { token } = await createToken(db, { name: 'ci', scope: 'edit' }, editor)
    expect(await verify(token)).toEqual({ name: 'ci', scope: 'edit' })
  })

  it.each(['', '-1', 'muster_', 'null', `muster_${'0'.repeat(64)}`])('are not %j', async (token) => {
    await createToken(db, { name: 'ci', scope: 'edit' }, editor)
    await expect(verify(token)).rejects.toMatchObject({ code: 'TOKEN_INVALID' })
  })

  it('are not what the database keeps of them', async () => {
    const { token } = await createToken(db, { name: 'ci', scope: 'edit' }, editor)
    await expect(verify(await hashOf(token))).rejects.toMatchObject({ code: 'TOKEN_INVALID' })
  })

  it('end at the moment at which they expire', async () => {
    const expiresAt = new Date(noon.getTime() + 1000)
    const { token } = await createToken(db, { name: 'ci', scope: 'edit', expiresAt }, editor)
    clock = new Date(noon.getTime() + 999)
    expect(await verify(token)).toMatchObject({ name: 'ci' })
    clock = expiresAt
    await expect(verify(token)).rejects.toMatchObject({ code: 'TOKEN_INVALID', message: expect.stringContaining('ci') })
  })

  it('end at once when they are deleted or replaced', async () => {
    const first = await createToken(db, { name: 'ci', scope: 'edit' }, editor)
    await verify(first.token)
    const second = await createToken(db, { name: 'ci', scope: 'read', replace: true }, editor)
    await expect(verify(first.token)).rejects.toMatchObject({ code: 'TOKEN_INVALID' })
    expect(await verify(second.token)).toEqual({ name: 'ci', scope: 'read' })
    await deleteToken(db, 'ci', editor)
    await expect(verify(second.token)).rejects.toMatchObject({ code: 'TOKEN_INVALID' })
  })

  it('have names of their own', async () => {
    await createToken(db, { name: 'ci', scope: 'read' }, editor)
    await expect(createToken(db, { name: 'ci', scope: 'admin' }, editor)).rejects.toMatchObject({
      code: 'TOKEN_EXISTS',
    })
    await expect(createToken(db, { name: '../ci', scope: 'read' }, editor)).rejects.toMatchObject({
      code: 'NAME_INVALID',
    })
    await expect(deleteToken(db, 'cd', editor)).rejects.toMatchObject({ code: 'TOKEN_UNKNOWN' })
  })

  it('of one scope may do what the scopes before it may', () => {
    const scopes = ['read', 'edit', 'admin'] as const
    expect(scopes.map((has) => scopes.filter((needs) => includes(has, needs)))).toEqual([
      ['read'],
      ['read', 'edit'],
      ['read', 'edit', 'admin'],
    ])
  })
})
