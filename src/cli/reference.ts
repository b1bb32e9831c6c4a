/** The reference of every command as markdown: what `docs/cli.md` has below its introduction. */
import type { Command, Option } from 'commander'
import type { Io } from './io.ts'
import { settingFlags } from './setting-flags.ts'

/** Adds the hidden `__reference`, which prints it. */
export function referenceCommand(program: Command, io: Io): void {
  program.command('__reference', { hidden: true }).action(() => void io.stdout.write(reference(program)))
}

/** A section for each noun with its verbs, and one for the flags that they share. Pure. */
export function reference(program: Command): string {
  const sections = visible(program).flatMap((noun) => [
    `## ${noun.name()}`,
    noun.description(),
    ...(noun.commands.length > 0 ? visible(noun) : [noun]).flatMap(commandSection),
  ])
  const shared = ['## Setting flags', ...groupTables(), '## Global options', optionTable(program.options)]
  return `${[...sections, ...shared].join('\n\n')}\n`
}

function commandSection(command: Command): string[] {
  const path = [...parents(command), command.name()].join(' ')
  const aliases = command.aliases().map((alias) => `\`${alias}\``)
  const options = command.options.filter((option) => !isShared(option))
  const rows = [
    ...command.registeredArguments.map((argument) => row(argument.name(), argument.description)),
    ...options.map(optionRow),
  ]
  const settings = command.options.some((option) => settingFlags.some(({ flags }) => flags === option.flags))
  return [
    `### ${path}`,
    `\`${path} ${command.usage()}\``,
    `${command.description()}.${aliases.length > 0 ? ` Also ${aliases.join(', ')}.` : ''}`,
    ...(rows.length > 0 ? [tableOf(rows)] : []),
    ...(settings ? ['Takes the [setting flags](#setting-flags).'] : []),
  ]
}

const visible = (command: Command) => command.commands.filter((one) => !one.name().startsWith('_'))

const parents = (command: Command): string[] =>
  command.parent ? [...parents(command.parent), command.parent.name()] : []

const globalOptions = ['--server', '--json', '--yes']

const isShared = (option: Option): boolean =>
  globalOptions.includes(option.long ?? '') || settingFlags.some(({ flags }) => flags === option.flags)

function groupTables(): string[] {
  const groups = Map.groupBy(settingFlags, ({ group }) => group)
  return [...groups].flatMap(([group, some]) => [group, tableOf(some.map(({ flags, help }) => row(flags, help)))])
}

const optionTable = (options: readonly Option[]): string => tableOf(options.map(optionRow))

const optionRow = (option: Option): string => {
  const choices = option.argChoices ? ` (${option.argChoices.join(', ')})` : ''
  return row(option.flags, `${option.description}${choices}${option.mandatory ? '; must be given' : ''}`)
}

const row = (what: string, meaning: string): string =>
  `| \`${what.replaceAll('|', '\\|')}\` | ${meaning.replaceAll('|', '\\|').replaceAll('*', '\\*')} |`

const tableOf = (rows: readonly string[]): string => ['| | |', '|---|---|', ...rows].join('\n')
