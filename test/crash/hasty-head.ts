/** The service with a grace that no site can have: `muster image gc` may take what is a second old. */
import { quickenImports } from '../../src/head/quick-imports.ts'

quickenImports()
const [{ readConfig }, { startHead }, { lineLog }] = await Promise.all([
  import('../../src/config.ts'),
  import('../../src/head.ts'),
  import('../../src/head/line-log.ts'),
])
const config = readConfig(process.env, process.cwd())
const log = lineLog((line) => void process.stderr.write(line), config.log)
await startHead(config, { log, leastGrace: 0 })
