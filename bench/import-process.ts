/**
 * Imports layers as a head node does, in a process of its own, and prints what it cost as one line of JSON. Arguments: a data
 * folder, the request as JSON (`ImportRequest`), and the layers' files in their order.
 */
import { createReadStream } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import type { Bytes } from '../src/blobs/store.ts'
import { quickenImports } from '../src/head/quick-imports.ts'
import type { ImportRequest } from '../src/images/importer.ts'
import type { ImportCost } from './import-cost.ts'

// As the service does; without it, parsing packages takes more memory than the import.
quickenImports()
const { fsBlobStore } = await import('../src/blobs/fs.ts')
const { createImporter } = await import('../src/images/import.ts')
const { openRegistry } = await import('../src/registry/sqlite.ts')

const numberIn = async (file: string, pattern: RegExp): Promise<number> =>
  Number(pattern.exec(await readFile(file, 'utf8'))?.[1])

const [data = '', request = '', ...files] = process.argv.slice(2)
const registry = openRegistry(join(data, 'registry.db'))
const importer = createImporter({
  blobs: fsBlobStore(join(data, 'blobs')),
  spool: join(data, 'spool'),
  registry: registry.database,
})
const began = performance.now()
const cpuBefore = process.cpuUsage()
// What this thread worked between two turns of a timer: time on the clock would count what others take of the machine.
let worked = process.threadCpuUsage()
let stalled = 0
const watching = setInterval(() => {
  const { user, system } = process.threadCpuUsage(worked)
  stalled = Math.max(stalled, (user + system) / 1000)
  worked = process.threadCpuUsage()
}, 1)
// JSON of our own making, from the bench beside this file.
const session = await importer.begin(JSON.parse(request) as ImportRequest)
const sent = session.needed()
for (const at of sent) {
  const stream = createReadStream(files[at] ?? '', { highWaterMark: 65_536 })
  await session.receive(at, Readable.toWeb(stream) as Bytes) // chunks of a file are what `Bytes` says
}
const { digest, manifest } = await session.finish()
await session.close()
clearInterval(watching)
const cpu = process.cpuUsage(cpuBefore)
const cost: ImportCost = {
  seconds: (performance.now() - began) / 1000,
  cpuSeconds: (cpu.user + cpu.system) / 1e6,
  resident: (await numberIn('/proc/self/status', /^VmHWM:\s+(\d+) kB$/m)) * 1024,
  written: await numberIn('/proc/self/io', /^write_bytes: (\d+)$/m),
  stalled,
  sent,
  digest,
  manifest,
}
registry.close()
console.log(JSON.stringify(cost))
