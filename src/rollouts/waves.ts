/** Waves of a rollout: how many nodes have the version at the end of each, as text, and who they are. Pure. */
import { AppError } from '../errors.ts'

/** The waves of a rollout that says nothing of them: one node, a tenth, half, everything. */
export const defaultWaves: readonly string[] = ['1', '10%', '50%', '100%']

const wavesAtMost = 50

/**
 * Cuts nodes into waves. Each text is how many nodes have the version once the wave has it: a count, or a percentage of
 * all, rounded up. What is left over makes a last wave; a wave that adds nobody is none. The nodes keep their order. Throws
 * `REQUEST_INVALID` for what is no count or percentage, and for counts or percentages that go down.
 */
export function cutWaves<Node>(nodes: readonly Node[], texts: readonly string[]): Node[][] {
  const fail = (fault: string): never => {
    throw new AppError('REQUEST_INVALID', `waves ${texts.join(',').slice(0, 200)}: ${fault}`, { field: 'waves' })
  }
  if (texts.length > wavesAtMost) fail(`more than ${wavesAtMost} of them`)
  const least = { count: 0, share: 0 }
  const waves: Node[][] = []
  let given = 0
  for (const text of [...texts, '100%']) {
    const [, digits = '', percent] = /^([1-9][0-9]{0,5})(%?)$/.exec(text) ?? []
    const amount = Number(digits)
    if (digits === '' || (percent && amount > 100))
      fail(`${JSON.stringify(text)} is neither a number of nodes nor a percentage`)
    const unit = percent ? 'share' : 'count'
    if (amount < least[unit]) fail(`${text} is less than the wave before it: each says how many have the version then`)
    least[unit] = amount
    const upTo = Math.min(nodes.length, percent ? Math.ceil((nodes.length * amount) / 100) : amount)
    if (upTo > given) waves.push(nodes.slice(given, upTo))
    given = Math.max(given, upTo)
  }
  return waves
}
