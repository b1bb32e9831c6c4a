/** What a shell has changed as a new version: asks, sends, says. */
import { confirm } from './confirm.ts'
import { packTar } from './gnu-tar.ts'
import { imageNamed } from './image-reference.ts'
import { type Changes, findChanges, isNothing } from './image-shell-changes.ts'
import type { Workspace } from './image-shell-workspace.ts'
import { jsonText } from './io.ts'
import { createMeter } from './progress.ts'
import type { Session } from './session.ts'
import type { Version } from './unpack.ts'
import { upload } from './upload.ts'

/** What the version is made of. */
export type Making = {
  /** What it began with. */
  version: Version
  workspace: Workspace
  /** The image's newest version when it began. */
  newest: number
  verb: 'shell' | 'exec'
  /** Whether nodes get it. */
  current: boolean
}

/**
 * Sends what changed as a layer on the version that was changed. After a shell it asks first, where there is somebody to ask;
 * throws (exit 1) when the answer is no.
 */
export async function makeVersion(session: Session, making: Making): Promise<void> {
  const { version, workspace, verb, current } = making
  const { io, err, json } = session
  const world = { env: io.env, signal: io.signal, complain: (line: string) => err.line(line) }
  const name = `${version.image}@${version.number}`
  const changes = await findChanges(workspace, world)
  if (isNothing(changes)) {
    err.line(`nothing was changed in ${name}: no new version was made`)
    if (json) io.stdout.write(`${jsonText(null)}\n`)
    return
  }
  await warnOfOthers(session, making)
  const what = changesText(changes)
  if (verb === 'shell' && io.stdin.isTTY) await confirm(session, [[what]], `Make a new version of ${version.image}?`)
  const made = await upload(session, createMeter({ printer: err }), {
    image: version.image,
    layers: [{ open: () => packTar(workspace.upper, changes.list, world) }],
    opening: { whiteouts: 'overlayfs', base: name },
    finishing: () => ({ source: `${verb} ${name}`, current }),
  })
  if (json) io.stdout.write(`${jsonText(made)}\n`)
  if (!made.created) {
    err.line(`${version.image}@${made.number} has this content already: no new version was made`)
    return
  }
  err.line(`made ${version.image}@${made.number} from ${name}: ${what}`)
  for (const warning of made.summary.warnings) err.line(`warning: ${warning}`)
}

/** Says it when somebody else was faster: what they changed is not in what is made here. */
async function warnOfOthers(session: Session, { version, newest }: Making): Promise<void> {
  const { newest: now } = await imageNamed(session, version.image)
  if (now === newest) return
  const [name, other] = [`${version.image}@${version.number}`, `${version.image}@${now}`]
  session.err.line(
    `${name} is no longer the newest version: ${other} was made meanwhile, and its changes are not in this one`,
  )
}

const changesText = ({ added, changed, removed }: Changes): string =>
  `${added} added, ${changed} changed, ${removed} removed`
