/** The client, stopped as hard as by a power cut after each of its steps: the next run makes it all good. */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { shells } from '../init/shells.ts'
import { bootNode, type Cluster, copyOf, listing, type Node, program, startCluster } from './scene.ts'

let cluster: Cluster
beforeAll(async () => {
  cluster = await startCluster()
})
afterAll(() => cluster.close())

/** Stops are tried after every step, each of them under one of the shells. */
const stride = shells.length

describe.each(shells.map(([name, shell], at) => [name, shell, at + 1] as const))(
  'the client under %s',
  (_name, shell, first) => {
    it('finishes or begins anew what a kill cut short, wherever that was', { timeout: 120_000 }, async () => {
      cluster.around = undefined
      await cluster.push({
        '/etc/changed': '1',
        '/etc/gone': '1',
        '/etc/d/file': '1',
        '/etc/mode': '1',
        '/etc/same': '1',
      })
      const template = await bootNode(cluster, { shell })
      mkdirSync(join(template.root, 'etc/image'), { recursive: true })
      writeFileSync(join(template.root, 'etc/image/file'), 'of the image')
      await template.client('run')
      const before = template.files()
      const tool = program(`${template.root}-tools`, 'note', 'echo "$1" >>"$MUSTER_ROOT/run/done"')
      await cluster.push(
        {
          '/etc/changed': '2',
          '/etc/d': { link: 'new' },
          '/etc/mode': '1',
          '/etc/new/deep/file': '2',
          '/etc/same': '1',
        },
        `/etc/changed: { reload: ["${tool}", "one"] }\n/etc/new/**: { reload: ["${tool}", "two"] }\n/etc/mode: { mode: "0600", owner: "3:4" }\n/etc/image: { remove: true }`,
      )
      const whole = copyOf(template, 'whole')
      await whole.client('run')
      const after = whole.files()
      expect(after).not.toEqual(before)
      expect(done(whole)).toEqual(['one', 'two'])

      let stopped = 0
      for (let step = first; ; step += stride) {
        const node = copyOf(template, `step-${step}`)
        const { status } = await node.client('run', { MUSTER_CLIENT_STOP_AFTER: String(step) })
        if (status === 0) {
          node.remove()
          break
        }
        stopped++
        expect(status, `step ${step}`).toBe(null)
        // Nothing half: every file is the old or the new one, or is not there yet.
        for (const line of node.files().filter((one) => one.includes(' file ') && !one.includes('muster~')))
          expect([...before, ...after], `step ${step}`).toContain(line)
        // What was prepared completely needs nobody any more.
        const staged = existsSync(join(node.root, 'run/muster/client/staged'))
        if (staged) cluster.around = async () => new Response('busy', { status: 503 })
        const ended = await node.client('run')
        cluster.around = undefined
        expect(ended, `step ${step}`).toMatchObject({ status: 0 })
        expect(node.files(), `step ${step}: ${ended.output}`).toEqual(after)
        // An action that was cut short is run again; all others once.
        const ran = done(node)
        expect([...new Set(ran)], `step ${step}`).toEqual(['one', 'two'])
        expect(ran.length, `step ${step}`).toBeLessThanOrEqual(3)
        if (!staged && stopped % 4 === 1)
          expect(await node.client('run'), `step ${step}`).toEqual({ status: 0, output: '' })
        node.remove()
      }
      expect(stopped).toBeGreaterThan(20 / stride)
      whole.remove()
      template.remove()
    })
  },
)

const done = ({ root }: Node): string[] => readFileSync(join(root, 'run/done'), 'utf8').trim().split('\n')

it('never leaves two clients at work, and takes a lock over whose owner is gone', async () => {
  await cluster.push({ '/etc/a': '1' })
  for (const [, shell] of shells) {
    const node = await bootNode(cluster, { shell })
    const begun = Date.now()
    const tool = program(
      `${node.root}-tools`,
      'slow',
      'echo in >>"$MUSTER_ROOT/run/done"',
      'sleep 2',
      'echo out >>"$MUSTER_ROOT/run/done"',
    )
    await cluster.push({ '/etc/a': String(begun) }, `/etc/a: { reload: ["${tool}"] }`)
    const ended = await Promise.all([1, 2, 3, 4].map(() => node.client('run')))
    expect(done(node)).toEqual(['in', 'out'])
    expect(ended.filter(({ output }) => output.includes('another muster-client is at work'))).toHaveLength(3)
    // Left by a client that was killed while its action still ran.
    await cluster.push({ '/etc/a': `${begun} again` }, `/etc/a: { reload: ["${tool}"] }`)
    const killed = node.client('run', { MUSTER_CLIENT_STOP_AFTER: '3' })
    expect(await killed).toMatchObject({ status: null })
    expect(execFileSync('readlink', [join(node.root, 'run/muster/client/lock')], { encoding: 'utf8' })).toMatch(
      /^\d+:\d+/,
    )
    const next = await Promise.all([node.client('run'), node.client('run'), node.client('apply')])
    expect(
      next.every(({ status }) => status === 0),
      JSON.stringify(next),
    ).toBe(true)
    expect(done(node)).toEqual(['in', 'out', 'in', 'out'])
    expect(listing(node.root)).toContainEqual(expect.stringMatching(/^\.\/etc\/a file /))
    node.remove()
  }
})
