/**
 * Objects whose values are worked out when they are first read. All objects of a kind share their getters: getters of its own
 * would make V8 give each object a shape of its own, which costs more (some 6 µs for 20) than most values.
 */

/** How each value of an object comes about: from what the object was made of, and from its other values. */
export type Makers<T extends object, From> = { readonly [Name in keyof T]-?: (from: From, self: T) => T[Name] }

type Made = { from: unknown; values: Map<string, unknown> }
const made = Symbol('made')
const names = Symbol('names')

/**
 * A function that makes objects of a kind. Their names are not their own properties: `namesOf` tells them. `afresh`: names whose
 * values are not kept.
 */
export function workedOut<T extends object, From>(
  makers: Makers<T, From>,
  afresh: readonly (keyof T)[] = [],
): (from: From) => T {
  const prototype = Object.create(null, {
    ...Object.fromEntries(
      Object.keys(makers).map((name) => {
        const get = getter(makers[name as keyof T], afresh.includes(name as keyof T) ? undefined : name)
        return [name, { get, enumerable: true }]
      }),
    ),
    [names]: { value: new Set(Object.keys(makers)) },
    toJSON: {
      value(this: T) {
        return Object.fromEntries(Object.keys(makers).map((name) => [name, Reflect.get(this, name)]))
      },
    },
  })
  return (from) => {
    const state: Made = { from, values: new Map() }
    return Object.assign(Object.create(prototype), { [made]: state })
  }
}

/** The names of an object that was worked out; `undefined` of any other. */
export const namesOf = (value: { readonly [names]?: ReadonlySet<string> }): ReadonlySet<string> | undefined =>
  value[names]

/** A getter that keeps its value under a name, if there is one. */
function getter<T extends object, From>(make: (from: From, self: T) => unknown, name: string | undefined) {
  return function (this: T & { [made]: Made & { from: From } }) {
    const { from, values } = this[made]
    if (name === undefined) return make(from, this)
    if (!values.has(name)) values.set(name, make(from, this))
    return values.get(name)
  }
}
