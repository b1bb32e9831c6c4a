/** JSON schemas in few words, for the page of `/api/docs`. */
import { html } from 'hono/html'
import type { Schema } from './openapi.ts'

/** A field of an object; fields of objects within have dotted names. */
export type Field = { name: string; required: boolean; schema: Schema }

type Markup = ReturnType<typeof html>

/** The type of a value: `string | null`, `integer 1–1000`, `Member[]` (a link), `("ipmi" | "redfish")[]`. */
export const typeOf = (schema: Schema): Markup => html`${separated(choicesOf(schema))}`

/** The types that a value may have. */
function choicesOf(schema: Schema): Markup[] {
  const name = schema.$ref?.split('/').at(-1)
  if (name !== undefined) return [html`<a href="#schema-${name}"><code>${name}</code></a>`]
  const choices = schema.anyOf ?? schema.oneOf
  if (choices) return distinct(choices.flatMap(choicesOf))
  if (schema.allOf) return [html`${separated(schema.allOf.map(inner), ' & ')}`]
  if (schema.const !== undefined) return [literal(schema.const)]
  if (schema.enum) return schema.enum.map(literal)
  const types = [schema.type ?? []].flat()
  if (types.length === 0 || types.length === 6) return [html`<code>any</code>`]
  return distinct(types.map((type) => plainType(type, schema)))
}

/** The fields of an object, those of objects within it too; empty for anything else. */
export function fieldsOf(schema: Schema, above = '', depth = 0): Field[] {
  const merged = (schema.allOf ?? [schema]).filter((part) => part.properties)
  return merged.flatMap((part) =>
    Object.entries(part.properties ?? {}).flatMap(([name, field]) => {
      const inner = depth < 3 ? fieldsOf(objectIn(field), `${above}${name}${suffixOf(field)}.`, depth + 1) : []
      return [{ name: above + name, required: part.required?.includes(name) ?? false, schema: field }, ...inner]
    }),
  )
}

/** The object that a field is, or is a list or a map of. */
const objectIn = (field: Schema): Schema =>
  field.items ?? (typeof field.additionalProperties === 'object' ? field.additionalProperties : field)

const suffixOf = (field: Schema): string =>
  field.items ? '[]' : typeof field.additionalProperties === 'object' ? '.*' : ''

function plainType(type: string, schema: Schema): Markup {
  if (type === 'array') return html`${inner(schema.items ?? {})}<code>[]</code>`
  if (type === 'object' && typeof schema.additionalProperties === 'object')
    return html`<code>map of </code>${inner(schema.additionalProperties)}`
  const { minimum, maximum, format } = schema
  const bounded = (type === 'integer' || type === 'number') && minimum !== undefined && maximum !== undefined
  const bounds = bounded && maximum < 1e9 ? ` ${minimum}–${maximum}` : ''
  return html`<code>${type}${bounds}${type === 'string' && format ? ` (${format})` : ''}</code>`
}

/** A type within another, in brackets where it is one of several. */
function inner(schema: Schema): Markup {
  const choices = choicesOf(schema)
  return choices.length > 1 ? html`<code>(</code>${separated(choices)}<code>)</code>` : html`${choices}`
}

const literal = (value: unknown): Markup => html`<code>${JSON.stringify(value)}</code>`

const distinct = (choices: Markup[]): Markup[] => [...new Map(choices.map((one) => [String(one), one])).values()]

const separated = (parts: Markup[], by = ' | ') => parts.map((part, at) => html`${at > 0 ? by : ''}${part}`)
