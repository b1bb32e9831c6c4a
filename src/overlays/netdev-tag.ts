/** Tags of a netdev, checked when they are read: they may have been stored before there was a check. */
import { AppError } from '../errors.ts'
import { netdevTagFault } from '../registry/network-tags.ts'

/** A tag of one netdev; `undefined` when it is not set. Throws `SETTINGS_INVALID` for one that is not what it must be. */
export type NetdevTag = (key: string) => string | undefined

/** Reads the tags of a node's netdev. */
export function netdevTags(tags: Readonly<Record<string, string>>, node: string, netdev: string): NetdevTag {
  return (key) => {
    const value = Object.hasOwn(tags, key) ? tags[key] : undefined
    const fault = value === undefined ? undefined : netdevTagFault(key, value)
    if (fault === undefined) return value
    const field = `netdevs.${netdev}.tags.${key}`
    throw new AppError('SETTINGS_INVALID', `node ${node}: ${field} ${fault}`, { field: `settings.${field}` })
  }
}

/** The keys of tags that match a pattern, in the order of their numbers: `DNS`, `DNS2`, `DNS10`. */
export const numberedKeys = (tags: Readonly<Record<string, string>>, pattern: RegExp): string[] =>
  Object.keys(tags)
    .filter((key) => pattern.test(key))
    .sort((a, b) => Number(/[0-9]*$/.exec(a)?.[0]) - Number(/[0-9]*$/.exec(b)?.[0]) || (a < b ? -1 : 1))
