/** OpenSSH's own tools, which say whether keys are keys. A tool that is missing fails the test with its package's name. */
import { execFileSync, spawnSync } from 'node:child_process'

/** What a tool printed to stdout. Throws with what it said when it refuses. */
export function openssh(tool: 'ssh-keygen' | '/usr/sbin/sshd', args: string[]): string {
  const { error } = spawnSync(tool, ['-?'])
  if (error)
    throw new Error(
      `${tool} is missing: install the package ${tool === 'ssh-keygen' ? 'openssh-client' : 'openssh-server'}`,
    )
  return execFileSync(tool, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
}
