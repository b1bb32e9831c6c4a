/** What a command sees of the world. `main.ts` gives the process's own; tests give streams of theirs. */
import { plain, printable } from './plain.ts'

/** Where text goes: the process's stream, or a test's. */
export type Sink = {
  /** False when it wants a pause: `drain` tells its end. */
  write(text: string | Uint8Array): unknown
  once?(event: 'drain', listener: () => void): unknown
  isTTY?: boolean
  columns?: number
}

/** Where answers and image archives come from; a terminal can be told to hand over each key and show none. */
export type Source = NodeJS.ReadableStream & { isTTY?: boolean; setRawMode?(raw: boolean): unknown }

/** What a command is given instead of the process. */
export type Io = {
  stdin: Source
  stdout: Sink
  stderr: Sink
  env: Record<string, string | undefined>
  /** Where relative paths begin. */
  cwd: string
  /** Absent: the platform's own. */
  fetch?: (input: string | URL | Request, init?: RequestInit) => Response | Promise<Response>
  /** Aborted by Ctrl-C. */
  signal?: AbortSignal
}

/** Looks that a terminal can show, by SGR code (ECMA-48 §8.3.117). */
const looks = { bold: '1', dim: '2', red: '31', green: '32', yellow: '33' } as const
/** Text with a look; on anything but a terminal it is just the text. */
export type Styled = { text: string; look: keyof typeof looks }
/** A part of a line. */
export type Part = string | Styled

/** Lines for people on one of the two streams. */
export type Printer = {
  /** Writes one line. Every part is stripped of control characters here, so that no caller can forget to. */
  line(...parts: Part[]): void
  /** Writes a text of several lines: exactly as it is, but for a terminal without control characters. */
  text(text: string): void
  /** Writes over the line that is there; on a terminal only. */
  status(text: string): void
  /** True when somebody is looking. */
  readonly terminal: boolean
  /** Columns of the terminal; nothing where nobody is looking, so that a program gets a row a line. */
  readonly columns?: number | undefined
}

/** Prints to one stream, in colour when it is a terminal and NO_COLOR is not set (no-color.org). */
export function printer(sink: Sink, env: Io['env']): Printer {
  const terminal = sink.isTTY === true
  const colour = terminal && !env.NO_COLOR && env.TERM !== 'dumb'
  const paint = (part: Part): string => {
    if (typeof part === 'string') return plain(part)
    return colour ? `\u001b[${looks[part.look]}m${plain(part.text)}\u001b[0m` : plain(part.text)
  }
  return {
    terminal,
    columns: terminal ? (sink.columns ?? 80) : undefined,
    line: (...parts) => void sink.write(`${parts.map(paint).join('').trimEnd()}\n`),
    text: (text) => void sink.write(terminal ? printable(text) : text),
    status: (text) => void (terminal && sink.write(`\r\u001b[K${plain(text)}`)),
  }
}

/** Writes bytes to stdout as they are, no faster than they are taken. Throws when Ctrl-C comes meanwhile. */
export async function pour(bytes: AsyncIterable<Uint8Array>, { stdout, signal }: Io): Promise<void> {
  for await (const chunk of bytes) {
    if (stdout.write(chunk) !== false || !stdout.once) continue
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const stop = () => reject(signal?.reason)
    stdout.once('drain', resolve)
    signal?.addEventListener('abort', stop)
    await promise.finally(() => signal?.removeEventListener('abort', stop))
  }
}

/**
 * The document as the API gave it; on one line when `indent` is 0. What could steer a terminal is escaped, which JSON reads
 * as the same text.
 */
export function jsonText(document: unknown, indent = 2): string {
  const text = JSON.stringify(document ?? null, undefined, indent)
  return text.replace(/[\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g, (character) => {
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
  })
}
