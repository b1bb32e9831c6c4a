/** How the page of `/api/docs` looks: one column of operations beside their list, light or dark as the reader's system is. */
export const docsStyle = `
:root { color-scheme: light dark; --line: light-dark(#d8dde3, #333c46); --soft: light-dark(#f4f6f8, #1c2229);
  --text: light-dark(#1b2126, #dde3e8); --faint: light-dark(#5a6570, #95a1ac); --link: light-dark(#0b5cad, #6cb2f5);
  --get: light-dark(#0b6b3a, #5fd39a); --put: light-dark(#8a5a00, #e3b25a); --delete: light-dark(#b3261e, #ff8a80) }
* { box-sizing: border-box }
html { scroll-behavior: smooth; scroll-padding-top: 1rem }
body { margin: 0; color: var(--text); background: light-dark(#fff, #14181d); font: 15px/1.5 system-ui, sans-serif;
  display: grid; grid-template-columns: 21rem minmax(0, 1fr) }
nav { position: sticky; top: 0; height: 100vh; overflow: auto; padding: 1.5rem 1rem; background: var(--soft);
  border-right: 1px solid var(--line); font-size: 13px }
nav h2 { font-size: 12px; letter-spacing: .05em; text-transform: uppercase; color: var(--faint); margin: 1.2rem 0 .3rem; border: 0; padding: 0 }
nav a { display: flex; gap: .5rem; padding: .1rem 0; color: inherit; text-decoration: none }
nav a:hover { color: var(--link) }
nav a span:last-child { overflow-wrap: anywhere }
nav .method { width: 3.2rem; flex: none; text-align: right; font-size: 10px; line-height: 20px }
main { max-width: 62rem; padding: 1.5rem 2.5rem 6rem; min-width: 0 }
h1 { margin: 0 0 .5rem; font-size: 26px }
h2 { margin: 3rem 0 1rem; padding-bottom: .3rem; border-bottom: 1px solid var(--line); font-size: 20px }
h3 { margin: 0; font-size: 16px; font-weight: 600 }
h4 { margin: 1rem 0 .3rem; font-size: 12px; letter-spacing: .05em; text-transform: uppercase; color: var(--faint) }
a { color: var(--link) }
code, .path, .method { font-family: ui-monospace, "Cascadia Mono", Menlo, Consolas, monospace; font-size: 13px }
.path { overflow-wrap: anywhere }
article { border: 1px solid var(--line); border-radius: 8px; padding: 1rem 1.25rem; margin: 1rem 0 }
article header { display: flex; flex-wrap: wrap; gap: .6rem; align-items: baseline; margin-bottom: .3rem }
article p { margin: .3rem 0 }
.method { font-weight: 700 }
.get { color: var(--get) } .put, .post, .patch { color: var(--put) } .delete { color: var(--delete) }
.scope { margin-left: auto; color: var(--faint); font-size: 12px }
.faint { color: var(--faint) }
table { border-collapse: collapse; width: 100%; font-size: 14px }
th { text-align: left; font-weight: 600; color: var(--faint); font-size: 12px }
th, td { padding: .25rem .75rem .25rem 0; border-bottom: 1px solid var(--line); vertical-align: top }
tr:last-child td { border-bottom: 0 }
td:first-child { white-space: nowrap; width: 1% }
.fields td:first-child { white-space: normal; min-width: 11rem; width: 26% }
.fields td:nth-child(2) { width: 34% }
@media (max-width: 60rem) { body { grid-template-columns: minmax(0, 1fr) } nav { display: none } main { padding: 1rem }
  .fields tr { display: grid; padding: .4rem 0 } .fields td, .fields td:nth-child(2) { width: auto; border: 0; padding: 0 } }
`
