/** The command line over the real app, without a socket: arguments in, what was printed and the exit code out. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { afterAll } from 'vitest'
import type { Io, Source } from '../../src/cli/io.ts'
import { run } from '../../src/cli/run.ts'
import type { TestApp } from '../harness.ts'

/** What a command left behind. */
export type Ran = { code: number; out: string; err: string }

/** How a command is run, when it is not run by an admin's script. */
export type Setting = {
  env?: Record<string, string | undefined>
  /** What somebody types at the terminal; without it there is no terminal. */
  types?: string
  /** stdout and stderr are terminals too. */
  terminal?: boolean
  /** Of the terminal: 80 unless it is said. */
  columns?: number
  stdin?: Source
  cwd?: string
  fetch?: Io['fetch']
  signal?: AbortSignal
}

/** Runs `muster` with an admin's token against the app. */
export async function muster(
  { app, tokens }: Pick<TestApp, 'app' | 'tokens'>,
  argv: string[],
  { env = {}, types, terminal = false, columns, stdin, cwd = tmpdir(), fetch, signal }: Setting = {},
): Promise<Ran> {
  const [out, err] = [sink(terminal), sink(terminal || types !== undefined)]
  const code = await run(argv, {
    stdin: stdin ?? Object.assign(Readable.from(types === undefined ? [] : [types]), { isTTY: types !== undefined }),
    stdout: columns === undefined ? out : { ...out, columns },
    stderr: err,
    env: { MUSTER_TOKEN: tokens.admin, ...env },
    cwd,
    fetch: fetch ?? ((input, init) => app.request(input as string, init)),
    ...(signal && { signal }),
  })
  return { code, out: out.text(), err: err.text() }
}

const made: string[] = []
afterAll(() => Promise.all(made.splice(0).map((folder) => rm(folder, { recursive: true }))))

/** A fresh directory for files of a test; gone when the file's tests are done. */
export async function emptyDirectory(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'muster-cli-'))
  made.push(folder)
  return folder
}

function sink(isTTY: boolean) {
  const written: Uint8Array[] = []
  return {
    isTTY,
    write: (text: string | Uint8Array) => written.push(typeof text === 'string' ? Buffer.from(text) : text),
    text: () => Buffer.concat(written).toString(),
  }
}
