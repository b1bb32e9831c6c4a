/** `muster image prepare`: makes what a single-stage boot loads before a node has to wait for it. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Command } from 'commander'
import { AppError } from '../errors.ts'
import { answer } from './client.ts'
import { oneOf, referenceHelp, versionMeant } from './image-reference.ts'
import type { Io } from './io.ts'
import { createMeter } from './progress.ts'
import { open, type Session, show, verb } from './session.ts'
import { bytesText } from './table.ts'

/** Milliseconds between two looks at how far it is. */
const lookAgain = 500

/** Adds the verb. */
export function imagePrepareCommand(image: Command, io: Io): void {
  const prepare = verb(image, 'prepare', 'Make the archive that nodes of a single-stage boot load')
  prepare.argument('<image>', referenceHelp)
  prepare.action(async (reference: string) => {
    const session = await open(io, prepare)
    const param = await versionMeant(session, reference)
    show(session, await made(session, param), ({ size, unpackedSize, warnings }) => [
      `${param.name}@${param.version}: ${bytesText(size)} to fetch, ${bytesText(unpackedSize)} in memory`,
      ...warnings.map((warning) => `warning: ${warning}`),
    ])
  })
}

/** Asks for the archive and follows its making. A request that waited too long is asked again: the making goes on. */
async function made(session: Session, param: { name: string; version: string }) {
  const { prepare } = oneOf(session).versions[':version']
  const over = new AbortController()
  const watching = watch(session, param, over.signal)
  try {
    for (;;) {
      try {
        return await answer(prepare.$post({ param }))
      } catch (error) {
        if (!(error instanceof AppError) || error.code !== 'INTERNAL') throw error
        if ((await answer(prepare.$get({ param }))).state === 'absent') throw error
      }
    }
  } finally {
    over.abort()
    await watching
  }
}

async function watch(session: Session, param: { name: string; version: string }, over: AbortSignal): Promise<void> {
  const meter = createMeter({ printer: session.err })
  if (!meter.watched) return
  const { prepare } = oneOf(session).versions[':version']
  meter.begin('packing')
  while (!over.aborted) {
    // Whoever waits hears of a failure from the request that makes it.
    const found = await answer(prepare.$get({ param })).catch(() => undefined)
    if (found?.state === 'preparing') meter.at(found.bytes, found.total)
    await sleep(lookAgain, undefined, { signal: over }).catch(() => undefined)
  }
  meter.end()
}
