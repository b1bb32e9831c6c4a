/** What every measurement needs: medians, CPU seconds of another process, a table and a file of results. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { cpus, loadavg, release } from 'node:os'

/** One measured number beside the peer's, of the same run. */
export type Row = {
  metric: string
  value: number
  unit: string
  /** The same of the peer; absent when there is none. */
  peer?: number
  /** `value / peer`. */
  ratio?: number
  /** What was to be reached, in words: `>= 0.95 x nginx`. */
  goal?: string
  /** Whether it was. A goal that was missed stays in the table. */
  met?: boolean
}

/** The machine, as far as it explains numbers. Made before anything is measured. */
export type Machine = { cpu: string; cores: number; kernel: string; node: string; loadAtStart: number }

/** Describes this machine at this moment. */
export function describeMachine(): Machine {
  const [cpu] = cpus()
  return {
    cpu: cpu?.model.trim() ?? 'unknown',
    cores: cpus().length,
    kernel: release(),
    node: process.version,
    loadAtStart: loadavg()[0] ?? 0,
  }
}

/** The middle value, or the mean of the two in the middle. NaN of nothing. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const half = sorted.length / 2
  return ((sorted[Math.ceil(half) - 1] ?? Number.NaN) + (sorted[Math.floor(half)] ?? Number.NaN)) / 2
}

/** CPU seconds, user and system, that a process has used so far (proc_pid_stat(5), fields 14 and 15). */
export function cpuSecondsOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ') // from field 3 on; the name before may have spaces
  return (Number(fields[11]) + Number(fields[12])) / Number(execFileSync('getconf', ['CLK_TCK']))
}

/** A row with ratio and verdict. `atLeast` and `atMost` are limits of the ratio to the peer. */
export function compare(
  metric: string,
  unit: string,
  value: number,
  peer: number,
  goal: { atLeast?: number; atMost?: number; of: string } | undefined,
): Row {
  const ratio = value / peer
  const row = { metric, unit, value, peer, ratio }
  if (!goal) return row
  const { atLeast, atMost, of } = goal
  if (atLeast !== undefined) return { ...row, goal: `>= ${atLeast} x ${of}`, met: ratio >= atLeast }
  if (atMost !== undefined) return { ...row, goal: `<= ${atMost} x ${of}`, met: ratio <= atMost }
  return row
}

/** Prints the rows as a table and keeps them in `bench/results/<name>.json`. */
export function report(name: string, machine: Machine, rows: readonly Row[]): void {
  if (machine.loadAtStart > 1.5) console.log(`\nload was ${machine.loadAtStart.toFixed(1)} at the start: measure again`)
  console.log(`\n${table(rows)}\n`)
  const commit = execFileSync('git', ['describe', '--always', '--dirty'], { encoding: 'utf8' }).trim()
  const folder = new URL('results/', import.meta.url)
  mkdirSync(folder, { recursive: true })
  const result = { machine, commit, date: new Date().toISOString(), rows }
  writeFileSync(new URL(`${name}.json`, folder), `${JSON.stringify(result, null, 2)}\n`)
}

/** Rows as text, in columns. */
export function table(rows: readonly Row[]): string {
  const lines = [
    ['metric', 'value', 'peer', 'unit', 'ratio', 'goal', ''],
    ...rows.map((row) => [
      row.metric,
      number(row.value),
      number(row.peer),
      row.unit,
      number(row.ratio),
      row.goal ?? '',
      row.met === undefined ? '' : row.met ? 'met' : 'MISSED',
    ]),
  ]
  const widths = lines[0]?.map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0))) ?? []
  return lines
    .map((line) =>
      line
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

function number(value: number | undefined): string {
  if (value === undefined) return ''
  return Math.abs(value) >= 1000 ? Math.round(value).toLocaleString('en') : value.toPrecision(3)
}
