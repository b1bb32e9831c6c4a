/** Users and groups of the head node win: ids, owners of files, and what becomes of names that only the image has. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { byteString, bytesOf } from '../../src/archive/byte-string.ts'
import { digestOf } from '../../src/blobs/digest.ts'
import { AppError } from '../../src/errors.ts'
import type { Contents } from '../../src/images/contents.ts'
import { syncUsers } from '../../src/images/sync-users.ts'
import { type Inode, type Tree, treeOf } from '../../src/images/tree.ts'

type Given = { passwd: string; group: string; files?: Record<string, Partial<Inode>> }

/** An image with these accounts and files. */
async function imageOf({ passwd, group, files = {} }: Given): Promise<{ tree: Tree; contents: Contents }> {
  const bytes = new Map<string, Uint8Array<ArrayBuffer>>()
  const common = { mode: 0o644, uid: 0, gid: 0, mtime: 1, links: 1 }
  const fileOf = async (text: string): Promise<Inode> => {
    const content = bytesOf(text)
    const digest = await digestOf(content)
    bytes.set(digest, content)
    return { ...common, type: 'file', size: content.length, digest }
  }
  const directory: Inode = { ...common, mode: 0o755, type: 'directory', implied: false }
  const inodes = new Map<string, Inode>([
    ['', directory],
    ['etc', directory],
    ['etc/passwd', await fileOf(passwd)],
    ['etc/group', await fileOf(group)],
  ])
  for (const [path, attributes] of Object.entries(files)) {
    const file = attributes.type === undefined ? await fileOf(path) : {}
    inodes.set(path, { ...common, ...file, ...attributes } as Inode)
  }
  const contents: Contents = {
    has: (digest) => bytes.has(digest),
    async *read({ digest }) {
      const found = bytes.get(digest)
      if (!found) throw new Error(`no ${digest}`)
      yield found
    },
  }
  return { tree: treeOf(inodes, []), contents }
}

async function textAt({ tree, contents }: { tree: Tree; contents: Contents }, path: string): Promise<string> {
  const file = tree.file(path)
  if (!file) throw new Error(`no ${path}`)
  let text = ''
  for await (const chunk of contents.read(file)) text += byteString(chunk)
  return text
}

const root = 'root:x:0:0:root:/root:/bin/bash\n'
const rootGroup = 'root:x:0:\n'
const nothing = { passwd: root, group: rootGroup }

describe('syncing users', () => {
  it('gives files to the ids of the head node, with set-id bits as they were', async () => {
    const image = await imageOf({
      passwd: `${root}munge:x:990:990::/:/bin/false\n`,
      group: `${rootGroup}munge:x:990:\n`,
      files: {
        'etc/key': { uid: 990, gid: 990, mode: 0o400 },
        'etc/tool': { uid: 990, gid: 0, mode: 0o4755 },
        'etc/link': { type: 'link', target: '/etc/shadow', uid: 990, gid: 990, mode: 0o777 } as Partial<Inode>,
        'etc/other': { uid: 1000, gid: 990 },
      },
    })
    const host = { passwd: `${root}munge:x:970:971::/:/bin/false\n`, group: `${rootGroup}munge:x:971:\n` }
    const synced = await syncUsers(image, host, { settle: false })
    const owners = (path: string) => {
      const { uid, gid, mode } = synced.tree.get(path)!
      return [uid, gid, mode]
    }
    expect(owners('etc/key')).toEqual([970, 971, 0o400])
    expect(owners('etc/tool')).toEqual([970, 0, 0o4755])
    expect(owners('etc/link')).toEqual([970, 971, 0o777])
    expect(owners('etc/other')).toEqual([1000, 971, 0o644])
    expect(synced.changes).toEqual([
      { kind: 'user', name: 'munge', from: 990, to: 970 },
      { kind: 'group', name: 'munge', from: 990, to: 971 },
    ])
    expect(await textAt(synced, 'etc/passwd')).toBe(host.passwd)
  })

  it('exchanges ids that swap', async () => {
    const lines = (one: number, other: number) => `${root}a:x:${one}:0::/:/x\nb:x:${other}:0::/:/x\n`
    const image = await imageOf({
      passwd: lines(10, 20),
      group: rootGroup,
      files: { 'of-a': { uid: 10 }, 'of-b': { uid: 20 } },
    })
    const { tree } = await syncUsers(image, { passwd: lines(20, 10), group: rootGroup }, { settle: false })
    expect([tree.get('of-a')?.uid, tree.get('of-b')?.uid]).toEqual([20, 10])
  })

  it('keeps names that only the image has, after those of the head node', async () => {
    const image = await imageOf({
      passwd: `${root}chrony:x:985:985:time:/var/lib/chrony:/sbin/nologin\n`,
      group: `${rootGroup}chrony:x:985:\n`,
    })
    const host = {
      passwd: `${root}alice:x:5000:100:Alice Ångström:/home/alice:/bin/zsh\n`,
      group: `${rootGroup}users:x:100:\n`,
    }
    const synced = await syncUsers(image, host, { settle: false })
    expect(await textAt(synced, 'etc/passwd')).toBe(
      `${root}alice:x:5000:100:Alice \xc3\x85ngstr\xc3\xb6m:/home/alice:/bin/zsh\nchrony:x:985:985:time:/var/lib/chrony:/sbin/nologin\n`,
    )
    expect(await textAt(synced, 'etc/group')).toBe('root:x:0:\nusers:x:100:\nchrony:x:985:\n')
    expect(synced.changes).toEqual([])
  })

  const clashing = {
    passwd: `${root}slurm:x:970:970::/:/bin/false\n`,
    group: `${rootGroup}slurm:x:970:\n`,
    files: { spool: { uid: 970, gid: 970 } },
  }
  const clashingHost = { passwd: `${root}munge:x:970:970::/:/bin/false\n`, group: `${rootGroup}munge:x:970:\n` }

  it('refuses an id that is another name on the head node, naming each', async () => {
    const error = await syncUsers(await imageOf(clashing), clashingHost, { settle: false }).catch((thrown) => thrown)
    expect(error).toBeInstanceOf(AppError)
    expect(error).toMatchObject({
      code: 'SYNCUSER_CONFLICT',
      message:
        "user slurm of the image has id 970, which is munge's on the head node: it would get 999 (and 1 more): make that user on the head node, or settle it with --syncuser=write",
      faults: [
        { field: 'user slurm', message: "has id 970, which is munge's on the head node: it would get 999" },
        { field: 'group slurm', message: "has id 970, which is munge's on the head node: it would get 999" },
      ],
    })
  })

  it('settles it, when told to, with a free id', async () => {
    const synced = await syncUsers(await imageOf(clashing), clashingHost, { settle: true })
    expect(synced.tree.get('spool')).toMatchObject({ uid: 999, gid: 999 })
    expect(await textAt(synced, 'etc/passwd')).toBe(`${clashingHost.passwd}slurm:x:999:999::/:/bin/false\n`)
    expect(await textAt(synced, 'etc/group')).toBe('root:x:0:\nmunge:x:970:\nslurm:x:999:\n')
  })

  it('follows no link out of the image, and rewrites what /etc/passwd leads to within it', async () => {
    const image = await imageOf({
      passwd: root,
      group: rootGroup,
      files: {
        'etc/passwd': { type: 'link', target: '../../../../usr/passwd', mode: 0o777 } as Partial<Inode>,
        usr: { type: 'directory', implied: false, mode: 0o755 } as Partial<Inode>,
        'usr/passwd': {},
      },
    })
    const synced = await syncUsers(image, nothing, { settle: false })
    expect(synced.tree.get('etc/passwd')).toMatchObject({ type: 'link' })
    expect(await textAt(synced, 'usr/passwd')).toBe(`${root}usr/passwd\n`)
  })

  it('leaves the other name of a hard-linked passwd alone', async () => {
    const image = await imageOf(nothing)
    const file = image.tree.get('etc/passwd')!
    file.links = 2
    const inodes = new Map(image.tree.paths.map((path) => [path, image.tree.get(path)!]))
    inodes.set('etc/passwd-', file)
    const host = { passwd: `${root}alice:x:5000:0::/:/x\n`, group: rootGroup }
    const synced = await syncUsers({ tree: treeOf(inodes, []), contents: image.contents }, host, { settle: false })
    expect(await textAt(synced, 'etc/passwd-')).toBe(root)
    expect(synced.tree.get('etc/passwd-')?.links).toBe(1)
    expect(synced.tree.get('etc/passwd')?.links).toBe(1)
  })

  it('keeps the members that a group has in the image', async () => {
    const image = await imageOf({ passwd: root, group: `${rootGroup}wheel:x:10:alice,bob\n` })
    const host = { passwd: root, group: `${rootGroup}wheel:x:10:carol,alice\n` }
    expect(await textAt(await syncUsers(image, host, { settle: false }), 'etc/group')).toBe(
      'root:x:0:\nwheel:x:10:carol,alice,bob\n',
    )
  })

  it('moves ids in ACLs', async () => {
    const acl = (uid: number) =>
      Uint8Array.of(2, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255, 2, 0, 4, 0, uid & 255, uid >> 8, 0, 0)
    const image = await imageOf({
      passwd: `${root}munge:x:990:0::/:/x\n`,
      group: rootGroup,
      files: { shared: { xattrs: new Map([['system.posix_acl_access', acl(990)]]) } },
    })
    const host = { passwd: `${root}munge:x:970:0::/:/x\n`, group: rootGroup }
    const { tree } = await syncUsers(image, host, { settle: false })
    expect(tree.get('shared')?.xattrs?.get('system.posix_acl_access')).toEqual(acl(970))
  })

  it('takes no line that is damaged or for NIS for an account', async () => {
    const image = await imageOf({ passwd: `${root}+::::::\nshort:x:5\nx:x:abc:0::/:/x\n`, group: rootGroup })
    const { changes, tree, contents } = await syncUsers(
      image,
      { passwd: `${root}y:x:5:0::/:/x\n`, group: rootGroup },
      { settle: false },
    )
    expect(changes).toEqual([])
    expect(await textAt({ tree, contents }, 'etc/passwd')).toBe(
      `${root}y:x:5:0::/:/x\n+::::::\nshort:x:5\nx:x:abc:0::/:/x\n`,
    )
  })

  it('gives every name one id, the one of the head node where it has that name, and files follow their names', async () => {
    const accounts = fc.uniqueArray(fc.tuple(fc.constantFrom(...'abcdefgh'), fc.integer({ min: 1, max: 12 })), {
      maxLength: 8,
      selector: ([name]) => name,
    })
    const unique = accounts.map((list) =>
      list.filter(([, id], at) => list.findIndex(([, other]) => other === id) === at),
    )
    const linesOf = (list: [string, number][]) => list.map(([name, id]) => `${name}:x:${id}:0::/:/x\n`).join('')
    await fc.assert(
      fc.asyncProperty(unique, unique, async (host, own) => {
        const files = Object.fromEntries(own.map(([name, id]) => [`of-${name}`, { uid: id }]))
        const image = await imageOf({ passwd: linesOf(own), group: '', files })
        const synced = await syncUsers(image, { passwd: linesOf(host), group: '' }, { settle: true })
        const lines = (await textAt(synced, 'etc/passwd'))
          .split('\n')
          .filter(Boolean)
          .map((line) => line.split(':'))
        const ids = new Map(lines.map(([name, , id]) => [name, Number(id)]))
        expect(new Set(ids.values()).size).toBe(ids.size)
        for (const [name, id] of host) expect(ids.get(name)).toBe(id)
        for (const [name] of own) expect(synced.tree.get(`of-${name}`)?.uid).toBe(ids.get(name))
      }),
      { numRuns: 300 },
    )
  })
})
