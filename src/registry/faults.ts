/** What zod found wrong, in the words of the field: one fault for each thing to correct. Pure. */
import type { z } from '@hono/zod-openapi'

/** One thing that is wrong. `field` is a dotted path from where the check began. */
export type Fault = { field: string; message: string }

type Issue = z.core.$ZodIssue

/** All faults of a failed check, each with its field. */
export const faultsOf = (error: { issues: readonly Issue[] }): Fault[] =>
  error.issues.flatMap((issue) => flatten(issue, []))

function flatten(issue: Issue, above: readonly PropertyKey[]): Fault[] {
  const path = [...above, ...issue.path]
  if (issue.code === 'unrecognized_keys')
    return issue.keys.map((key) => ({ field: dotted([...path, key]), message: 'is not a field that Muster knows' }))
  if (issue.code === 'invalid_key')
    return [{ field: dotted(path), message: `this name ${messages(issue.issues.map((inner) => inner.message))}` }]
  if (issue.code !== 'invalid_union' || issue.errors.length === 0)
    return [{ field: dotted(path), message: issue.message }]
  // A branch that got past the outermost value is the one that was meant; otherwise say what any of them would take.
  const branches = issue.errors.map((inner) => inner.flatMap((one) => flatten(one, path)))
  const meant = branches.find((faults) => faults.every((fault) => fault.field.length > dotted(path).length))
  return meant ?? [{ field: dotted(path), message: messages(branches.flat().map((fault) => fault.message)) }]
}

const dotted = (path: readonly PropertyKey[]): string => path.map(String).join('.')

const messages = (all: readonly string[]): string => [...new Set(all)].join(', or ')
