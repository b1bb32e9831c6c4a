/** What a version of an image holds, for people. Pure. */

import { bytesText } from './table.ts'
import type { Uploaded } from './upload.ts'

/** The summary of a version as {@link outline} prints it. */
export const contentsOf = ({ os, architecture, kernels, size, unpackedSize, ...rest }: Uploaded['summary']) => ({
  ...(os && { os: os.name }),
  architecture,
  kernels: kernels.map((kernel) => kernel.version),
  size: bytesText(size),
  unpacked: bytesText(unpackedSize),
  segments: `${rest.segments} (${rest.compression})`,
  entries: rest.entries,
  ...(rest.warnings.length > 0 && { warnings: rest.warnings }),
})
