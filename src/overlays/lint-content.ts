/** What is wrong with a file for what it contains. */
import type { OverlayEntry } from './manifest.ts'

/** Something about a file's content, in words that follow the path. `line` is counted from 1. */
export type ContentFault = { level: 'error' | 'warning'; line?: number; message: string }

/** Names of private keys; what has a public key or certificate in it is none, whatever its name. */
const keyName = /(?:^|\/)(?:ssh_host_[a-z0-9]+_key|id_(?:rsa|dsa|ecdsa|ed25519)|[^/]*\.key)$/
/** RFC 7468 §10 and §11, and what OpenSSH and PGP write. */
const privateKey = /^\s*-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----/
const publicKey = /^\s*-----BEGIN (?:[A-Z0-9 ]*PUBLIC KEY(?: BLOCK)?|CERTIFICATE)-----/

/** Where programs are looked for, or run by their name's place. */
const programDirectory =
  /^\/(?:usr\/(?:local\/)?s?bin|usr\/libexec|etc\/(?:init\.d|cron\.(?:hourly|daily|weekly|monthly)|NetworkManager\/dispatcher\.d)|muster\/init\.d)\/[^/]+$/
/** First bytes of programs for Linux (elf(5)). */
const elf = '\u007fELF'

/** Faults of a file's content. */
export function contentFaults(entry: OverlayEntry, content: Uint8Array): ContentFault[] {
  if (entry.type !== 'file') return []
  const text = textOf(content)
  return [...keyFaults(entry, text ?? ''), ...(text === undefined ? [] : textFaults(entry, text))]
}

function keyFaults({ path, mode, private: hidden }: OverlayEntry, text: string): ContentFault[] {
  const isKey = privateKey.test(text) || (keyName.test(path) && !publicKey.test(text))
  if (!isKey) return []
  if ((mode & 0o077) !== 0)
    return [
      { level: 'error', message: `is a private key that others may read (mode "0${mode.toString(8)}"): use "0600"` },
    ]
  if (!hidden)
    return [
      {
        level: 'error',
        message: 'is a private key that any machine could fetch: say private: true, or better keep it as a secret',
      },
    ]
  return []
}

function textFaults({ path, mode, template }: OverlayEntry, text: string): ContentFault[] {
  const faults: ContentFault[] = []
  const carriageReturn = text.indexOf('\r\n')
  if (carriageReturn >= 0)
    faults.push({
      level: 'warning',
      line: text.slice(0, carriageReturn).split('\n').length,
      message: 'has lines that end in CR LF, as Windows writes them: most programs take the CR for part of the line',
    })
  const isScript = text.startsWith('#!')
  const isExecutable = (mode & 0o111) !== 0
  if (isScript && !isExecutable && programDirectory.test(path))
    faults.push({ level: 'warning', message: `begins with #! and cannot be run: chmod +x, or mode "0755"` })
  if (!isScript && isExecutable && !text.startsWith(elf) && !(template && text.startsWith('{{')))
    faults.push({ level: 'warning', line: 1, message: 'can be run and has no #! line to say by what' })
  return faults
}

function textOf(bytes: Uint8Array): string | undefined {
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
    return text.includes('\0') ? undefined : text
  } catch {
    return undefined
  }
}
