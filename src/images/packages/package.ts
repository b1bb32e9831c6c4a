/** An installed package, as a package manager's database has it. */

/** `version` is complete: `[EPOCH:]VERSION-RELEASE` of rpm, `[EPOCH:]UPSTREAM[-REVISION]` of dpkg. */
export type Package = { name: string; version: string; architecture: string; manager: 'rpm' | 'dpkg' }

/** What is installed, sorted by name; `warnings` say which database could not be read, and why. */
export type Installed = { packages: Package[]; warnings: string[] }
