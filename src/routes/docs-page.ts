/** The page of `/api/docs`, made from the document alone. No script, nothing from elsewhere: head nodes are often offline. */
import { html, raw } from 'hono/html'
import { statusOf } from '../errors.ts'
import { fieldsOf, typeOf } from './docs-schema.ts'
import { docsStyle } from './docs-style.ts'
import { type ApiDocument, type Content, codesIn, commonCodes, type Operation, type Schema } from './openapi.ts'

type Entry = { path: string; method: string; operation: Operation }

/** The whole page. */
export function docsPage(document: ApiDocument) {
  const entries = Object.entries(document.paths).flatMap(([path, operations]) =>
    Object.entries(operations).map(([method, operation]): Entry => ({ path, method, operation })),
  )
  const groups = [...Map.groupBy(entries, ({ operation }) => operation.tags?.[0] ?? 'api')]
  const schemas = Object.entries(document.components.schemas).sort(([a], [b]) => (a < b ? -1 : 1))
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Muster API</title>
<style>${raw(docsStyle)}</style>
</head>
<body>
<nav>
<a href="#top"><strong>Muster API</strong></a>
${groups.map(
  ([group, some]) => html`<h2>${group}</h2>
${some.map((entry) => html`<a href="#${idOf(entry)}">${badge(entry.method)}<span>${shortPath(entry.path)}</span></a>`)}`,
)}
<h2>Reference</h2>
<a href="#errors">Errors</a>
<a href="#schemas">Schemas</a>
</nav>
<main id="top">
<h1>Muster API</h1>
<p>Send a token with every request: <code>Authorization: Bearer TOKEN</code>. The scope that an operation needs stands
beside it; <code>edit</code> includes <code>read</code>, and <code>admin</code> includes both. The same as a document for
programs: <a href="/api/openapi.json">openapi.json</a>.</p>
<p>${prose(document.info.description)}</p>
<p>Besides the codes that stand with an operation, any may answer: ${commonCodes.map(codeLink)}</p>
${groups.map(([group, some]) => html`<h2>${group}</h2>${some.map(operationSection)}`)}
<h2 id="errors">Errors</h2>
<table><thead><tr><th>Status</th><th>Codes</th></tr></thead><tbody>
${errorRows().map(
  ([status, codes]) =>
    html`<tr><td>${status}</td><td>${codes.map((code) => html`<code id="${code}">${code}</code> `)}</td></tr>`,
)}
</tbody></table>
<h2 id="schemas">Schemas</h2>
${schemas.map(([name, schema]) => schemaSection(name, schema))}
</main>
</body>
</html>`
}

function operationSection(entry: Entry) {
  const { path, method, operation } = entry
  const scope = operation.security?.[0]?.token?.[0]
  const responses = Object.entries(operation.responses)
  return html`<article id="${idOf(entry)}">
<header>${badge(method)} <span class="path">${path}</span>
<span class="scope">${scope === undefined ? 'no token' : html`scope ${scope}`}</span></header>
<h3>${operation.summary ?? ''}</h3>
${operation.description && html`<p class="faint">${prose(operation.description)}</p>`}
${
  operation.parameters &&
  html`<h4>Parameters</h4>
<table class="fields">${operation.parameters.map(
    (one) =>
      html`<tr><td><code>${one.name}</code>${one.required ? '' : html` <span class="faint">optional</span>`}</td>
<td>${typeOf(one.schema)} <span class="faint">in ${one.in}</span></td><td>${prose(one.description ?? one.schema.description)}</td></tr>`,
  )}</table>`
}
${operation.requestBody && html`<h4>Body</h4>${bodySection(operation.requestBody.description, operation.requestBody.content)}`}
<h4>Answers</h4>
<table>${responses.map(([status, response]) => answerRow(status, response))}</table>
</article>`
}

function answerRow(status: string, { description, content }: Operation['responses'][string]) {
  if (Number(status) < 400)
    return html`<tr><td><code>${status}</code></td><td>${bodySection(description, content)}</td></tr>`
  const codes = codesIn({ description }).filter((code) => !commonCodes.some((common) => common === code))
  return codes.length > 0 && html`<tr><td><code>${status}</code></td><td>${codes.map(codeLink)}</td></tr>`
}

function bodySection(description: string | undefined, content: Content | undefined) {
  const [[type, { schema = {} }] = [undefined, {}]] = Object.entries(content ?? {})
  const shape =
    type === undefined
      ? ''
      : html` <span class="faint">${type === 'application/json' ? '' : type}</span> ${typeOf(schema)}`
  const inline = schema.type === 'object' ? fieldsTable(schema) : ''
  return html`<div>${prose(description)}${shape}</div>${inline}`
}

function schemaSection(name: string, schema: Schema) {
  const fields = fieldsOf(schema)
  return html`<article id="schema-${name}"><h3>${name}</h3>
${schema.description && html`<p class="faint">${prose(schema.description)}</p>`}
${fields.length > 0 ? fieldsTable(schema) : html`<p>${typeOf(schema)}</p>`}</article>`
}

const fieldsTable = (schema: Schema) =>
  html`<table class="fields">${fieldsOf(schema).map(
    ({ name, required, schema: field }) =>
      html`<tr><td><code>${name}</code>${required ? '' : html` <span class="faint">optional</span>`}</td><td>${typeOf(field)}</td>
<td>${prose(field.description)}</td></tr>`,
  )}</table>`

const codeLink = (code: string) => html`<a href="#${code}"><code>${code}</code></a> `

/** A sentence, with what stands in backquotes as code. */
const prose = (text = '') =>
  text.split('`').map((part, at) => (at % 2 === 1 ? html`<code>${part}</code>` : html`${part}`))

const errorRows = (): [number, string[]][] => {
  const codes = Object.entries(statusOf)
  const rows = Map.groupBy(codes, ([, status]) => status)
  return [...rows]
    .map(([status, some]): [number, string[]] => [status, some.map(([code]) => code)])
    .sort(([a], [b]) => a - b)
}

const badge = (method: string) => html`<span class="method ${method}">${method.toUpperCase()}</span>`

const idOf = ({ method, path }: Entry): string => `${method}${path.replaceAll(/[^A-Za-z]+/g, '-')}`

const shortPath = (path: string): string => path.replace('/api', '')
