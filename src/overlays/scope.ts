/** Where templates look for names: values on top of each other, asked only for what is their own. */

import { namesOf } from './worked-out.ts'

/** A value and what lies below it: names are looked for from the top down. */
export type Frame = { value: unknown; below: Frame | undefined }

/** What {@link resolve} answers when there is no such name. */
export const absent = Symbol('absent')

/** The view with items on top of it, the last uppermost. */
export const stack = (view: object, items: readonly unknown[]): Frame =>
  items.reduce<Frame>((below, value) => ({ value, below }), { value: view, below: undefined })

/** Own properties of objects, names of what is worked out, and items of lists by number; not `length`, nor anything of a string. */
export function owns(value: unknown, key: string): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null) return false
  if (Object.hasOwn(value, key)) return key !== 'length' || !Array.isArray(value)
  return namesOf(value)?.has(key) ?? false
}

/** The names in a map. */
export function namesIn(value: unknown): string[] {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return []
  return [...(namesOf(value) ?? Object.keys(value))]
}

/** The topmost frame whose value has a name. */
export function frameOf(top: Frame, name: string): Frame | undefined {
  let at: Frame | undefined = top
  while (at && !owns(at.value, name)) at = at.below
  return at
}

/**
 * What a path means: its first name decides on the frame, and the rest must be in what that frame has. The empty path is
 * the topmost value.
 */
export function resolve(top: Frame, path: readonly string[]): unknown {
  const frame = path[0] === undefined ? top : frameOf(top, path[0])
  if (!frame) return absent
  let value: unknown = frame.value
  for (const part of path) {
    if (!owns(value, part)) return absent
    value = value[part]
  }
  return value
}

/** Whether a section of this value is shown. Lists are shown when something is in them, maps always. */
export const isShown = (value: unknown): boolean =>
  Array.isArray(value) ? value.length > 0 : Boolean(value) && value !== absent && typeof value !== 'function'
