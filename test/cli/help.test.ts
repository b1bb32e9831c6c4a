import { readFile } from 'node:fs/promises'
import type { Command } from 'commander'
import { describe, expect, it } from 'vitest'
import type { Io } from '../../src/cli/io.ts'
import { createProgram } from '../../src/cli/program.ts'
import { reference } from '../../src/cli/reference.ts'
import { settingFlags } from '../../src/cli/setting-flags.ts'

const io: Io = { stdin: process.stdin, stdout: process.stdout, stderr: process.stderr, env: {}, cwd: '/' }

/** Every command with its path, hidden ones left out. */
function commands(command: Command = createProgram(io), path: string[] = []): [path: string, command: Command][] {
  const below = command.commands.filter((one) => !one.name().startsWith('_'))
  return [[path.join(' ') || 'muster', command], ...below.flatMap((one) => commands(one, [...path, one.name()]))]
}

describe('help', () => {
  it.each(commands())('of %s mentions every flag, argument and verb, each with its meaning', (_path, command) => {
    const help = command.helpInformation()
    for (const option of command.options) {
      expect(help).toContain(option.flags)
      expect(option.description).not.toBe('')
    }
    for (const argument of command.registeredArguments) {
      expect(help).toContain(argument.name())
      expect(argument.description).not.toBe('')
    }
    for (const verb of command.commands.filter((one) => !one.name().startsWith('_')))
      expect(help).toContain(verb.name())
    expect(command.description()).not.toBe('')
  })

  it.each(['node add', 'node set', 'profile set', 'discovered approve'])('of %s has every setting flag', (path) => {
    const help = new Map(commands()).get(path)?.helpInformation()
    for (const { flags } of settingFlags) expect(help).toContain(`  ${flags}`)
  })

  it.each(commands().filter(([, command]) => command.commands.length === 0 && command.name() !== 'serve'))(
    'of %s takes the global options',
    (_path, command) => {
      expect(command.options.map((option) => option.long)).toEqual(
        expect.arrayContaining(['--server', '--json', '--yes']),
      )
    },
  )
})

describe('docs/cli.md', () => {
  it('has every command as it is: muster __reference prints what belongs below its marker', async () => {
    const text = await readFile(new URL('../../docs/cli.md', import.meta.url), 'utf8')
    const [, generated] = text.split('<!-- from here on: muster __reference -->\n\n')
    expect(generated).toBe(reference(createProgram(io)))
  })
})
