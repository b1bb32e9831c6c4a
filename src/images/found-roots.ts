/** Root archives where none can be made: those that a head node has made are found. */
import { AppError } from '../errors.ts'
import { rootFinder } from '../registry/root-archives.ts'
import type { RegistryDatabase } from '../registry/schema.ts'
import type { RootArchives } from './root-archives.ts'

/** The archives that the registry knows of. */
export const foundRootArchives = (registry: RegistryDatabase): RootArchives => ({
  find: rootFinder(registry),
  async make() {
    throw new AppError(
      'UNSUPPORTED',
      'images are prepared for boots in a single stage on a head node: type `muster image prepare NAME` there',
    )
  },
  progress: () => undefined,
})
