/** One command's run: its options, its streams, its service. Every verb is made and opened here. */
import { type Command, CommanderError, Option } from 'commander'
import { type Api, openApi } from './client.ts'
import { type Io, jsonText, type Part, type Printer, printer } from './io.ts'

/** What the action of a verb works with. */
export type Session = {
  io: Io
  api: Api
  out: Printer
  err: Printer
  /** Print the API's documents instead of text for people. */
  json: boolean
  /** Ask no questions. */
  yes: boolean
  /** Query of every edit: why, when the admin said so. */
  why: { message?: string }
}

/** Options that every command takes. */
type GlobalOptions = { server?: string; json?: boolean; yes?: boolean; message?: string }

/** Gives a command, and those below it, the options that every command takes: last, so that help ends with them. */
export function withGlobalOptions(command: Command): void {
  const options = [
    new Option('--server <url>', 'where the service is (MUSTER_SERVER)'),
    new Option('--json', "print the API's document"),
    new Option('-y, --yes', 'do not ask before an edit'),
  ]
  for (const option of options) command.addOption(option.helpGroup('Global options:'))
  for (const below of command.commands) withGlobalOptions(below)
}

/** A verb of a noun, such as `list [selector]`. */
export function verb(noun: Command, usage: string, summary: string): Command {
  return noun.command(usage).summary(summary).description(summary)
}

/** A verb that edits: it also takes the reason, which the revision keeps. */
export function editVerb(noun: Command, usage: string, summary: string): Command {
  return verb(noun, usage, summary).option('-m, --message <text>', 'why; the revision keeps it')
}

/** Opens what the command's options and the environment name. Throws `REQUEST_INVALID` when they name nonsense. */
export async function open(io: Io, command: Command): Promise<Session> {
  const { server, json, yes, message } = command.optsWithGlobals<GlobalOptions>()
  return {
    io,
    api: await openApi(io, server === undefined ? {} : { server }),
    out: printer(io.stdout, io.env),
    err: printer(io.stderr, io.env),
    json: json === true,
    yes: yes === true,
    why: message === undefined ? {} : { message },
  }
}

/** Prints the document with --json, else the lines that are made from it. */
export function show<Document>(
  { out, json, io }: Session,
  document: Document,
  lines: (document: Document) => (string | Part[])[],
): void {
  if (json) {
    io.stdout.write(`${jsonText(document)}\n`)
    return
  }
  for (const line of lines(document)) out.line(...(typeof line === 'string' ? [line] : line))
}

/** A command line that is wrong in a way that only the command knows; exit code 2. */
export const usageError = (message: string): CommanderError => new CommanderError(2, 'muster.usage', message)
