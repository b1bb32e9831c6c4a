/** A cluster for the tests of one file, and the nodes that each of them boots. */
import { afterAll, afterEach, beforeAll } from 'vitest'
import { bootNode, type Cluster, type Making, type Node, startCluster } from './scene.ts'

/** Starts a cluster before the tests and ends it after them; nodes go, and what was asked is forgotten, after each. */
export function useCluster(): { cluster(): Cluster; boot(making?: Making): Promise<Node> } {
  let started: Cluster | undefined
  const nodes: Node[] = []
  const cluster = (): Cluster => {
    if (!started) throw new Error('the cluster is there once the tests run')
    return started
  }
  beforeAll(async () => {
    started = await startCluster()
  })
  afterAll(() => started?.close())
  afterEach(() => {
    for (const node of nodes.splice(0)) node.remove()
    cluster().asked.length = 0
    cluster().around = undefined
  })
  return {
    cluster,
    async boot(making) {
      const node = await bootNode(cluster(), making)
      nodes.push(node)
      return node
    },
  }
}
