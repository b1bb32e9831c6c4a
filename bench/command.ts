/** Other programs, and what they cost. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

const execute = promisify(execFile)

/** Seconds: on the clock, and of the processor, of a program and all that it started. */
export type Cost = { seconds: number; cpuSeconds: number }

/** Runs a program to its end and answers what it printed; throws when it fails. */
export async function run(program: string, args: readonly string[], cwd?: string): Promise<string> {
  const { stdout } = await execute(program, [...args], { maxBuffer: 2 ** 26, ...(cwd && { cwd }) })
  return stdout
}

/** Runs a program and answers what it cost. A shell counts: `times` tells of all that it waited for (POSIX, times). */
export async function costOf(program: string, args: readonly string[], cwd?: string): Promise<Cost> {
  const began = performance.now()
  const script = '"$@" >/dev/null 2>&1 || exit 1; times'
  const printed = await run('sh', ['-c', script, 'sh', program, ...args], cwd)
  const seconds = (performance.now() - began) / 1000
  const [, user, system] = /\n([\dms.]+) ([\dms.]+)/.exec(printed) ?? []
  return { seconds, cpuSeconds: secondsOf(user) + secondsOf(system) }
}

/** `1m2.345s` in seconds. */
function secondsOf(text = ''): number {
  const [, minutes, rest] = /^(\d+)m([\d.]+)s$/.exec(text) ?? []
  return Number(minutes) * 60 + Number(rest)
}
