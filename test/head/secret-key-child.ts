/** Started by a test as another user: reads the key of secrets and prints its id, or why not. */
import { join } from 'node:path'
import { provideSecretKey } from '../../src/head/secret-key.ts'
import { openRegistry } from '../../src/registry/sqlite.ts'

const [folder = '', file = ''] = process.argv.slice(2)
const registry = openRegistry(join(folder, 'registry.db'))
try {
  const key = await provideSecretKey({ registry: registry.database, log: () => undefined }, file)
  process.stdout.write(key.id)
} catch (error) {
  process.stdout.write(error instanceof Error ? error.message : String(error))
}
registry.close()
