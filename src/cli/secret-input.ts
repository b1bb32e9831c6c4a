/** The text of a secret: from a file, a pipe, or somebody at the terminal. Never an argument, which every process could read. */
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import { CommanderError } from 'commander'
import { AppError } from '../errors.ts'
import type { Io } from './io.ts'

/** Bytes that are read at most: more than the service takes. */
const most = 128 * 1024

/**
 * The text that is to be secret. A newline behind a single line is the editor's or echo's and is left out; a text of
 * several lines stays as it is. Throws when it is no text, when two typed texts differ, and (exit 130) at Ctrl-C.
 */
export async function readSecret(io: Io, what: string, file: string | undefined): Promise<string> {
  if (file !== undefined) return textOf(await fileBytes(resolve(io.cwd, file)), file)
  if (!io.stdin.isTTY) return textOf(await readAtMost(io.stdin), 'standard input')
  const [first, second] = await ask(io, [`${what}: `, 'The same once more: '])
  if (first !== second) throw new AppError('SECRET_INVALID', 'the two texts differ: nothing was changed')
  return first ?? ''
}

/** No more of it than tells that it is too long. Throws for what is no file. */
async function fileBytes(path: string): Promise<Uint8Array> {
  const found = await stat(path)
  if (found.isDirectory()) throw new AppError('SECRET_INVALID', `${path} is a directory: name a file`)
  return readAtMost(createReadStream(path))
}

function textOf(bytes: Uint8Array, where: string): string {
  if (bytes.length > most) throw new AppError('SECRET_INVALID', `${where} is too long for a secret`)
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
    return /^[^\n]*\n$/.test(text) ? text.replace(/\r?\n$/, '') : text
  } catch {
    throw new AppError('SECRET_INVALID', `${where} is no text: give it as base64`)
  }
}

async function readAtMost(stdin: NodeJS.ReadableStream): Promise<Uint8Array> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of stdin) {
    chunks.push(Buffer.from(chunk))
    size += chunk.length
    if (size > most) break
  }
  return Buffer.concat(chunks)
}

/** What is typed behind each question, without an echo. Not by readline: on a dumb terminal it takes a backspace for a letter. */
async function ask({ stdin, stderr, signal }: Io, questions: readonly string[]): Promise<string[]> {
  const { promise, resolve: done, reject } = Promise.withResolvers<string[]>()
  const stop = (code: number, message: string) => reject(new CommanderError(code, 'muster.declined', message))
  const ended = () => stop(1, 'nothing was typed: nothing was changed')
  const aborted = () => reject(signal?.reason)
  const decoder = new TextDecoder()
  const answers: string[] = []
  let line = ''

  const take = (chunk: Buffer | string) => {
    for (const key of keysIn(decoder.decode(Buffer.from(chunk), { stream: true }))) {
      // Ctrl-C is a key like any other now, and no signal.
      if (key === '\u0003') return stop(interrupted, '')
      if (key === '\u0004' && line === '') return ended()
      if (key !== '\r' && key !== '\n') {
        line = typed(line, key)
        continue
      }
      answers.push(line)
      line = ''
      stderr.write('\n')
      if (answers.length === questions.length) return done(answers)
      stderr.write(questions[answers.length] ?? '')
    }
  }

  stdin.setRawMode?.(true)
  stderr.write(questions[0] ?? '')
  // Whoever asked before has paused it.
  stdin.on('data', take).once('end', ended).once('error', reject).resume()
  if (!stdin.readable) ended()
  signal?.addEventListener('abort', aborted)
  try {
    return await promise
  } catch (error) {
    stderr.write('\n')
    throw error
  } finally {
    signal?.removeEventListener('abort', aborted)
    stdin.off('data', take).off('end', ended).off('error', reject).pause()
    stdin.setRawMode?.(false)
  }
}

/** What a shell says of a process that died of SIGINT: 128 + 2. */
const interrupted = 130

/** Characters, without the sequences that arrow keys and pasting send (ECMA-48 §5.4); CR LF is one end of a line. */
const keysIn = (text: string): string[] => [
  ...text.replaceAll('\r\n', '\n').replace(/\u001b(?:\[[0-?]*[ -/]*[@-~]|O.)/g, ''),
]

/** The line after a key: backspace takes the last character, Ctrl-U all of them, other control keys do nothing. */
function typed(line: string, key: string): string {
  if (key === '\u007f' || key === '\b') return [...line].slice(0, -1).join('')
  if (key === '\u0015') return ''
  return key < ' ' && key !== '\t' ? line : line + key
}
