/** dpkg's database: paragraphs of fields (deb822(5)), one for each package. Pure. */
import type { Package } from './package.ts'

/** The packages of a status file that are installed. In `status.d` of images without dpkg paragraphs have no state: all are. */
export function parseDpkgStatus(text: string): Package[] {
  return text.split(/\n\s*\n/).flatMap((paragraph): Package[] => {
    const field = (name: string) => new RegExp(`^${name}:[ \\t]*(.*)$`, 'm').exec(paragraph)?.[1]?.trim()
    const [name, version, status] = [field('Package'), field('Version'), field('Status')]
    if (!name || !version || (status !== undefined && !status.endsWith(' installed'))) return []
    return [{ name, version, architecture: field('Architecture') ?? '', manager: 'dpkg' }]
  })
}
