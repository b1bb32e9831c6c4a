/** `npm run bench NAME`: runs the measurement of that name, which is the file beside this one that exports `run`. */
import { readdirSync, readFileSync } from 'node:fs'

/** Every file here that has a measurement. */
const names = readdirSync(new URL('.', import.meta.url))
  .filter((file) => file.endsWith('.ts') && file !== 'run.ts')
  .filter((file) => /^export (async )?function run\(/m.test(readFileSync(new URL(file, import.meta.url), 'utf8')))
  .map((file) => file.slice(0, -'.ts'.length))

const name = process.argv[2] ?? ''
if (names.includes(name)) {
  const { run } = (await import(`./${name}.ts`)) as { run: () => Promise<void> }
  await run()
} else {
  console.error(`usage: npm run bench NAME, where NAME is one of: ${names.join(', ')}`)
  process.exitCode = 2
}
