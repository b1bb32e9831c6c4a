/** Any list after any other: a node that was brought from one to the next is as one that was booted with the last. */
import { afterAll, beforeAll, expect, it } from 'vitest'
import { bootNode, type Cluster, type Site, startCluster } from './scene.ts'

let cluster: Cluster
beforeAll(async () => {
  cluster = await startCluster()
})
afterAll(() => cluster.close())

/** Numbers below a limit, the same for the same seed (xorshift32, Marsaglia 2003). */
function numbers(seed: number): (limit: number) => number {
  let state = seed
  return (limit) => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) % limit
  }
}

/** Few names, so that files, folders and links meet in the same places. */
function randomSite(below: (limit: number) => number): { files: Site; yaml: string } {
  const names = ['a', 'b', 'c d', 'e\\x2d']
  const files: Site = {}
  const attributes: string[] = []
  for (let count = below(12); count >= 0; count--) {
    const parts = Array.from({ length: 1 + below(3) }, () => names[below(names.length)])
    const path = `/etc/${parts.join('/')}`
    const taken = Object.keys(files).some(
      (other) => `${other}/`.startsWith(`${path}/`) || `${path}/`.startsWith(`${other}/`),
    )
    if (taken) continue
    const kind = below(4)
    // Links that lead nowhere: what is below a link is another matter.
    files[path] = kind === 0 ? { link: `nowhere ${below(3)}` } : `content ${below(3)}`
    if (kind > 1)
      attributes.push(
        `${JSON.stringify(path)}: { mode: "0${6 + below(2)}${below(8)}4", owner: "${below(2)}:${below(2)}" }`,
      )
  }
  return { files, yaml: attributes.join('\n') }
}

const seeds = [1]

it.each(seeds)('lists at random, one after another (seed %i)', { timeout: 120_000 }, async (seed) => {
  const below = numbers(seed * 7919)
  await cluster.push({})
  const node = await bootNode(cluster)
  for (let round = 0; round < 9; round++) {
    const { files, yaml } = randomSite(below)
    await cluster.push(files, yaml || '{}')
    const ended = await node.client('run')
    expect(ended.status, `round ${round}: ${ended.output}`).toBe(0)
    const fresh = await bootNode(cluster)
    // A cpio has the folders above its files; the client's are there only while something is in them.
    expect(node.files(), `round ${round}: ${JSON.stringify(files)}\n${ended.output}`).toEqual(
      fresh.files().filter((line) => line !== './etc directory 755 0:0' || node.files().includes(line)),
    )
    fresh.remove()
  }
  node.remove()
})
