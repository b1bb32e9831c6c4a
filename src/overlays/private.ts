/** Which names of templates are secret: whatever reads one is for its node alone. */

/** Whether a dotted name of the view leads to a secret: `secrets.munge`, `bmc.password`, or `password` within a section. */
export function isSecretName(name: string): boolean {
  const parts = name.split('.')
  return parts[0] === 'secrets' || parts.at(-1) === 'password'
}
