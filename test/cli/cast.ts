/** The cluster that tests of commands look at: two profiles, four nodes, an image in two versions, an overlay, a boot. */
import { addImage, startOfTests, type TestApp, testApp } from '../harness.ts'

/** The id of the one attempt that there is. */
export const attempt = '0123456789abcdef0123456789abcdef'

const seconds = (count: number): Date => new Date(startOfTests.getTime() + count * 1000)
const base64 = (text: string): string => Buffer.from(text).toString('base64')

/** The app with the cast in it. Everything is the same each time, digests too. */
export async function cluster(): Promise<TestApp> {
  const app = await testApp()
  await addImage(app, 'rocky9')
  const { version } = await addImage(app, 'rocky9', 'rocky9 with fixes')
  await app.call('PUT', '/api/overlays/greeting', {
    body: {
      files: [
        { path: 'overlay.yaml', content: base64('description: greets whoever logs in\n') },
        { path: 'files/etc/motd.mustache', content: base64('Welcome to {{node.name}}\n') },
      ],
      message: 'first',
    },
  })
  await app.call('PUT', '/api/profiles/default', {
    body: {
      settings: {
        image: 'rocky9',
        kernel: { args: ['quiet'] },
        overlays: { system: ['greeting'], runtime: [] },
        description: 'what all nodes have',
      },
    },
  })
  await app.call('PUT', '/api/profiles/gpu', {
    body: { profiles: ['default'], settings: { kernel: { args: ['~quiet', 'nomodeset'] }, tags: { class: 'gpu' } } },
  })
  const rack = { tags: { rack: 'r12' } }
  await app.call('POST', '/api/nodes', { body: { names: 'n[001-003]', profiles: ['default'], settings: rack } })
  const netdevs = { default: { mac: '52:54:00:00:00:01', address: '10.0.0.1/24', primary: true } }
  await app.call('PUT', '/api/nodes/gpu1?message=the+first+of+them', {
    body: { profiles: ['gpu'], settings: { netdevs, root: { kind: ['disk', 'tmpfs'] }, image: 'rocky9@2' } },
  })
  const { journal } = app.services
  const plan = {
    image: { name: 'rocky9', version: 2, digest: version.digest },
    kernel: { version: '5.14', digest: 'sha256:11' },
    root: { mode: 'tmpfs', digest: 'sha256:22' },
  }
  journal.record({ type: 'attempt', id: attempt, node: 'gpu1', mac: '52:54:00:00:00:01', at: startOfTests, plan })
  const tell = (at: number, kind: 'blob' | 'beacon' | 'overlay' | 'stage' | 'ready', detail: Record<string, unknown>) =>
    journal.record({ type: 'event', attempt, at: seconds(at), kind, detail: detail as { [key: string]: string } })
  const transfer = { offset: 0, status: 200, complete: true }
  tell(0.4, 'blob', { ...transfer, digest: 'sha256:11', length: 11e6, sent: 11e6, ms: 500 })
  tell(1, 'blob', { ...transfer, digest: 'sha256:22', length: 4e8, sent: 1e8, ms: 2000, complete: false })
  tell(3.2, 'beacon', { stage: 'root.img', errno: '4c106083' })
  tell(4, 'blob', { ...transfer, digest: 'sha256:22', length: 4e8, sent: 4e8, ms: 4000 })
  tell(9, 'overlay', { list: 'system', digest: `sha256:${'3'.repeat(64)}`, size: 2048, unchanged: false })
  tell(12, 'stage', { uptime: 3.5, stage: 'root', memTotalKiB: 8_000_000 })
  tell(30.25, 'ready', { uptime: 21.7, rootKind: 'tmpfs', rootUsedKiB: 1_200_000 })
  journal.record({
    type: 'machine',
    mac: '52:54:00:00:00:99',
    at: seconds(5),
    facts: {
      serial: 'S99',
      manufacturer: 'QEMU',
      product: 'Standard PC',
      uuid: '4c4c4544-0042-4b10-8051-b4c04f564432',
    },
    address: '10.0.0.199',
  })
  await journal.flush()
  return app
}
