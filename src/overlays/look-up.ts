/**
 * Look-ups: `{{#image.file}}/etc/passwd{{/image.file}}` stands for the text of that file. What is between the tags is rendered
 * first. A path cannot leave the image or the folder that the head node's admin has set aside.
 */
import type { Inputs } from './inputs.ts'
import { pathFault } from './path.ts'

/** Sections that are look-ups, by their names. */
const lookUps = ['image.file', 'head.file'] as const
/** One of {@link lookUps}. */
export type LookUp = (typeof lookUps)[number]

/** Whether a name of a section is that of a look-up. */
export const isLookUp = (name: string): name is LookUp => lookUps.some((one) => one === name)

/** The path that somebody means: an absolute one in the image, one below the folder on the head node. */
export function lookedUpPath(name: LookUp, text: string): { path: string } | { fault: string } {
  const given = text.trim()
  const absolute = name === 'head.file' ? `/${given.replace(/^\//, '')}` : given
  const fault = given === '' ? 'is no path' : inFault(absolute)
  return fault === undefined ? { path: name === 'head.file' ? absolute.slice(1) : absolute } : { fault }
}

/** The text of a file, or what is wrong, with the path as it may be `called`. Throws what `Inputs` throw. */
export function lookUp(
  name: LookUp,
  path: string,
  inputs: Inputs,
  called = path,
): { text: string } | { fault: string } {
  const content = name === 'image.file' ? inputs.imageFile(path) : inputs.headFile(path)
  if (!content) {
    const where =
      name === 'image.file' ? "the node's image" : 'the folder for templates on the head node (MUSTER_FILES)'
    return { fault: `there is no file ${called} in ${where}` }
  }
  try {
    return { text: new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(content) }
  } catch {
    return { fault: `${called} is not UTF-8 text` }
  }
}

/** Where a file may be read is less narrow than where an overlay may put one. */
const inFault = (path: string): string | undefined => {
  if (!path.startsWith('/')) return 'is not absolute'
  const fault = pathFault(`/x${path}`)
  return fault === undefined || fault.startsWith('ends in') ? undefined : fault
}
