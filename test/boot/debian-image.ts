/** The Debian root as a container image of two layers, as `docker save` and `podman save` write it. Made by umoci and skopeo. */
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { link, mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** What the second layer does: `.wh.` deletes (OCI image-spec, layer.md). */
const upper: Record<string, string> = {
  'etc/.wh.left-over': '',
  'etc/replaced': 'by the second layer\n',
}

/** Path of the docker-archive. Its name is that of the root, so that another root makes another. */
export async function debianImage(root: string): Promise<string> {
  const target = root.replace(/\.tar$/, '.docker.tar')
  if (existsSync(target)) return target
  const work = await mkdtemp(join(dirname(root), 'debian-image-'))
  try {
    const layout = join(work, 'layout')
    const image = `${layout}:debian`
    await run('umoci', ['init', '--layout', layout])
    await run('umoci', ['new', '--image', image])
    await run('umoci', ['raw', 'add-layer', '--image', image, root])
    await run('umoci', ['raw', 'add-layer', '--image', image, await upperTar(work)])
    await run('skopeo', ['copy', '--quiet', `oci:${image}`, `docker-archive:${join(work, 'out.tar')}:node/debian:1`])
    await rename(join(work, 'out.tar'), target)
    return target
  } finally {
    await rm(work, { recursive: true, force: true })
  }
}

/** A second name for ping is a hard link into the layer below, so that it has the capability too. */
async function upperTar(work: string): Promise<string> {
  const tree = join(work, 'upper')
  for (const [path, text] of Object.entries(upper)) {
    await mkdir(dirname(join(tree, path)), { recursive: true })
    await writeFile(join(tree, path), text)
  }
  const tar = join(work, 'upper.tar')
  await mkdir(join(tree, 'usr/bin'), { recursive: true })
  await writeFile(join(tree, 'usr/bin/ping'), '')
  await link(join(tree, 'usr/bin/ping'), join(tree, 'usr/bin/pong'))
  const options = ['-C', tree, '--owner=0', '--group=0', '--format=posix', '--sort=name']
  await run('tar', [...options, '-cf', tar, 'etc', 'usr/bin/ping', 'usr/bin/pong'])
  // The archive must have the link and not the file that it leads to, which is the lower layer's.
  await run('tar', ['--delete', '-f', tar, 'usr/bin/ping'])
  const { stdout } = await run('tar', ['-tvf', tar])
  if (!stdout.includes('usr/bin/pong link to usr/bin/ping'))
    throw new Error(`no hard link in the upper layer:\n${stdout}`)
  return tar
}
