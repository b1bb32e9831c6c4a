/** Why `{{name}}` has no text, in words that help: a name that does not exist, one without a value, a list or a map. */
import { nearest } from './nearest.ts'
import { type Frame, frameOf, namesIn, owns } from './scope.ts'

/** The fault, and what may be meant or done (empty when there is nothing to say). */
export function unknownName(top: Frame, name: string, path: readonly string[]): { fault: string; hint: string } {
  const frame = path[0] === undefined ? top : frameOf(top, path[0])
  if (!frame) return unknown(name, '', path[0] ?? name, namesAround(top))
  let value: unknown = frame.value
  for (const [at, part] of path.entries()) {
    const holder = path.slice(0, at).join('.')
    if (value === undefined || value === null) return noValue(holder, name)
    if (!owns(value, part)) return unknown(name, `${holder}.`, part, namesIn(value))
    value = value[part]
  }
  if (value === undefined || value === null) return noValue(name, name)
  const kind = Array.isArray(value) ? 'a list' : typeof value === 'object' ? 'a map' : `a ${typeof value}`
  return { fault: `${name} is ${kind}, not text,`, hint: `use {{#${name}}}…{{/${name}}}` }
}

function unknown(name: string, prefix: string, part: string, known: string[]): { fault: string; hint: string } {
  const close = nearest(part, known)
  return { fault: `unknown name ${name}`, hint: close === undefined ? '' : `did you mean ${prefix}${close}?` }
}

const noValue = (holder: string, name: string): { fault: string; hint: string } => ({
  fault: `${holder} has no value`,
  hint: `put {{${name}}} between {{#${holder}}} and {{/${holder}}}`,
})

function namesAround(top: Frame): string[] {
  const names: string[] = []
  for (let at: Frame | undefined = top; at; at = at.below) names.push(...namesIn(at.value))
  return names
}
