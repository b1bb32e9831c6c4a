/** Files as a node has them, below a scratch folder, and programs that are asked what they think of them. */
import { spawnSync } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { RenderedFile } from '../../../src/overlays/render.ts'
import { commandLine } from './shells.ts'

/** Calls `work` with a folder of its own, and takes the folder away. */
export async function inScratch<T>(work: (folder: string) => T | Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), 'muster-shipped-'))
  try {
    return await work(folder)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** Writes files, links and directories below a folder, with their modes. */
export function unpack(files: readonly RenderedFile[], root: string): void {
  for (const file of files) {
    const path = join(root, file.path)
    mkdirSync(dirname(path), { recursive: true })
    if (file.type === 'file') writeFileSync(path, file.content)
    if (file.type === 'link') symlinkSync(file.target, path)
    if (file.type === 'directory') mkdirSync(path, { recursive: true })
    if (file.type === 'file' || file.type === 'directory') chmodSync(path, file.mode)
  }
}

/** Runs a program to its end. */
export function asked(name: string, args: string[]): { status: number | null; output: string } {
  const [command = '', ...more] = commandLine(name)
  const { status, stdout, stderr } = spawnSync(command, [...more, ...args], { encoding: 'utf8', timeout: 60_000 })
  return { status, output: stdout + stderr }
}

/** A program that systemd-analyze finds where a unit says it is. */
export function stub(root: string, path: string): void {
  mkdirSync(dirname(join(root, path)), { recursive: true })
  writeFileSync(join(root, path), '#!/bin/sh\n', { mode: 0o755 })
}

/** Has systemd verify units by their paths in a root, which needs no more of systemd than a target that all units want. */
export function verifyUnits(root: string, paths: readonly string[]): { status: number | null; output: string } {
  const own = join(root, 'usr/lib/systemd/system')
  mkdirSync(own, { recursive: true })
  writeFileSync(join(own, 'sysinit.target'), '[Unit]\nDescription=System initialisation\n')
  const names = paths.map((path) => path.split('/').at(-1) ?? '')
  return asked('systemd-analyze', ['verify', '--man=no', `--root=${root}`, ...names])
}
