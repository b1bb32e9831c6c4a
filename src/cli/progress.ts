/** How far a long transfer is. */
import type { Printer } from './io.ts'
import { bytesText } from './table.ts'

/** Where a transfer stands. */
export type Progress = {
  /** What is being done: `sending`. */
  phase?: string
  done: number
  /** Unknown as long as somebody does not know how much it will be. */
  size?: number
  seconds: number
}

/** Columns of the bar, without its brackets: the whole line stays below 80. */
const barWidth = 20

/**
 * `sending [#####---------------] 25%, 500 MB of 2.00 GB, 85.0 MB/s, 18 s left`; without a known size the bytes and the speed
 * alone. Pure.
 */
export function progressText({ phase, done, size, seconds }: Progress): string {
  const speed = seconds > 0 ? done / seconds : 0
  const parts = [size === undefined ? bytesText(done) : `${bytesText(done)} of ${bytesText(size)}`]
  if (speed > 0) parts.push(`${bytesText(Math.round(speed))}/s`)
  if (size !== undefined && speed > 0) parts.push(`${timeLeft(Math.max(0, size - done) / speed)} left`)
  if (phase === undefined) return parts.join(', ')
  return `${[phase, ...(size === undefined ? [] : [`${bar(done, size)},`]), ''].join(' ')}${parts.join(', ')}`
}

/** `[#####---------------] 25%`. */
function bar(done: number, size: number): string {
  const share = size === 0 ? 1 : Math.min(1, done / size)
  const full = Math.floor(share * barWidth)
  return `[${'#'.repeat(full)}${'-'.repeat(barWidth - full)}] ${Math.floor(share * 100)}%`
}

/** `18 s`, `4 min`, `3 h`: rounded up. */
function timeLeft(seconds: number): string {
  if (seconds <= 90) return `${Math.ceil(seconds)} s`
  const minutes = seconds / 60
  return minutes <= 90 ? `${Math.ceil(minutes)} min` : `${Math.ceil(minutes / 60)} h`
}

/** Follows transfers, one phase after the other. */
export type Meter = {
  /** True when somebody sees what it says. */
  readonly watched: boolean
  /** Begins a phase: the bytes are counted from 0. */
  begin(phase: string, size?: number): void
  /** So many bytes of the phase are done. */
  at(done: number, size?: number): void
  /** The same bytes, counted on the way. Several can be counted at once. */
  counted(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array<ArrayBuffer>>
  /** Takes the line away. */
  end(): void
}

/** How a meter tells: a line written anew for people, or whatever `tell` does with it. */
export type Telling = { printer: Printer } | { tell: (progress: Progress & { phase: string }) => void }

/** A meter that tells at most five times a second, and when a phase begins and ends. */
export function createMeter(telling: Telling, now: () => number = () => performance.now()): Meter {
  const watched = 'tell' in telling || telling.printer.terminal
  const state: { phase: string; done: number; size: number | undefined } = { phase: '', done: 0, size: undefined }
  let begun = now()
  let told = begun
  /** Whether more is done than was told. */
  let untold = false
  const tell = (always: boolean) => {
    const time = now()
    untold = !always && time - told < 200
    if (!watched || untold) return
    told = time
    const { phase, done, size } = state
    const progress = { phase, done, seconds: (time - begun) / 1000, ...(size !== undefined && { size }) }
    if ('tell' in telling) telling.tell(progress)
    else telling.printer.status(progressText(progress))
  }
  const meter: Meter = {
    watched,
    begin(name, total) {
      if (untold) tell(true)
      Object.assign(state, { phase: name, done: 0, size: total })
      begun = now()
      tell(true)
    },
    at(done, size = state.size) {
      Object.assign(state, { done, size })
      tell(false)
    },
    async *counted(bytes) {
      for await (const chunk of bytes) {
        meter.at(state.done + chunk.length)
        // What files, sockets and programs give is never shared memory, which alone the types leave open.
        yield chunk as Uint8Array<ArrayBuffer>
      }
    },
    end() {
      if (untold) tell(true)
      if ('printer' in telling) telling.printer.status('')
    },
  }
  return meter
}
