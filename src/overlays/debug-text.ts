/** The view as text, for somebody who writes a template. */
import { namesIn } from './scope.ts'
import type { View } from './view.ts'

/**
 * The view as JSON, indented: names without a value are `null`. Without secrets, `bmc.password`, users and the text itself,
 * and with the number of nodes in the place of the nodes: to list them all for each node would take longest.
 */
export function debugText(view: View, nodes: number): string {
  const unsaid: readonly string[] = ['view', 'secrets', 'users', 'nodes'] satisfies (keyof View)[]
  const names = namesIn(view).filter((name) => !unsaid.includes(name))
  const shown: Record<string, unknown> = Object.fromEntries(names.sort().map((name) => [name, Reflect.get(view, name)]))
  shown.nodes = nodes
  return JSON.stringify(shown, (_key, value: unknown) => value ?? null, 2)
}
