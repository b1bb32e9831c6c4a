import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { fsAssets } from '../../src/assets/fs.ts'
import { type Finding, lintDirectory, privateSources } from '../../src/overlays/lint.ts'
import type { SourceFile } from '../../src/overlays/parse.ts'
import { shippedFiles } from '../../src/overlays/store.ts'
import { bootAssets, sourceFile } from './fixtures.ts'

const yaml = (text: string) => sourceFile('overlay.yaml', text)
const lint = async (...files: SourceFile[]): Promise<Finding[]> => (await lintDirectory('o', files)).findings
const place = ({ level, path, line }: Finding) => [level, line === undefined ? path : `${path}:${line}`]

/** What is found, in one line, and the one finding for it. */
type Case = [what: string, files: SourceFile[], where: [string, string], message: RegExp]

const key = '-----BEGIN OPENSSH PRIVATE KEY-----\nx\n'
const cases: Case[] = [
  [
    'a directory of the system that others may write',
    [yaml('files:\n  /etc/: { mode: "0777" }')],
    ['error', 'overlay.yaml:2'],
    /^\/etc has mode "0777", looser than "0755"/,
  ],
  [
    'a home of root that all may read',
    [yaml('files: { /root/: { mode: "0755" } }')],
    ['error', 'overlay.yaml:1'],
    /^\/root has mode "0755", looser than "0700"/,
  ],
  [
    'keys of root that others may see',
    [yaml('files: { /root/.ssh/: { mode: "0750" } }')],
    ['error', 'overlay.yaml:1'],
    /^\/root\/\.ssh has mode "0750"/,
  ],
  [
    'a directory of keys that comes with its file alone',
    [sourceFile('files/root/.ssh/authorized_keys', 'ssh-ed25519 x\n')],
    ['error', 'files/root/.ssh/authorized_keys'],
    /^\/root\/\.ssh comes with its files as "0755".*\/root\/\.ssh\/: \{ mode: "0700" \}/,
  ],
  [
    'a directory that images keep closed',
    [sourceFile('files/etc/sudoers.d/admins', '%admins ALL=ALL\n')],
    ['warning', 'files/etc/sudoers.d/admins'],
    /^\/etc\/sudoers\.d comes with its files as "0755"/,
  ],
  [
    'someone else who owns /etc',
    [yaml('files: { /etc/: { owner: "5:5" } }')],
    ['error', 'overlay.yaml:1'],
    /^\/etc belongs to user 5/,
  ],
  [
    'a /tmp that is not for all',
    [yaml('files: { /tmp/: { mode: "0755" } }')],
    ['error', 'overlay.yaml:1'],
    /^\/tmp must be mode "1777"/,
  ],
  [
    'a /tmp without its sticky bit',
    [yaml('files: { /var/tmp/: { mode: "0777" } }')],
    ['error', 'overlay.yaml:1'],
    /^\/var\/tmp must be mode "1777"/,
  ],
  [
    'keys of a user that others may write',
    [yaml('files: { /home/a/.ssh/: { mode: "0770" } }')],
    ['error', 'overlay.yaml:1'],
    /sshd ignores keys/,
  ],
  [
    'a directory where all may replace files',
    [yaml('files: { /srv/x/: { mode: "0777" } }')],
    ['error', 'overlay.yaml:1'],
    /every user could delete and replace/,
  ],
  [
    'a file that all may change',
    [yaml('files:\n  /etc/**: { owner: "1:1" }\n  /etc/f: { mode: "0666" }'), sourceFile('files/etc/f', 'x')],
    ['error', 'overlay.yaml:3'],
    /^\/etc\/f has mode "0666": every user of the node could change it/,
  ],
  [
    'a private key that others may read',
    [sourceFile('files/etc/x.pem', key)],
    ['error', 'files/etc/x.pem'],
    /is a private key that others may read \(mode "0644"\)/,
  ],
  [
    'a private key that any machine could fetch',
    [yaml('files: { /etc/x.pem: { mode: "0600" } }'), sourceFile('files/etc/x.pem', key)],
    ['error', 'files/etc/x.pem'],
    /any machine could fetch: say private: true/,
  ],
  [
    'a private key of PGP',
    [sourceFile('files/k', '-----BEGIN PGP PRIVATE KEY BLOCK-----\n')],
    ['error', 'files/k'],
    /is a private key/,
  ],
  [
    'a host key by its name',
    [sourceFile('files/etc/ssh/ssh_host_ed25519_key', 'x')],
    ['error', 'files/etc/ssh/ssh_host_ed25519_key'],
    /is a private key/,
  ],
  [
    'a key by its ending',
    [sourceFile('files/etc/munge/munge.key', 'x'), yaml('files: { /etc/munge/: { mode: "0700" } }')],
    ['error', 'files/etc/munge/munge.key'],
    /is a private key/,
  ],
  [
    'a name that is nowhere',
    [sourceFile('files/f.mustache', 'a\nb {{hostname2}}')],
    ['error', 'files/f.mustache:2'],
    /^unknown name hostname2; did you mean hostname\?/,
  ],
  [
    'a name of a section that is nowhere',
    [sourceFile('files/f.mustache', '{{#nodez}}{{/nodez}}')],
    ['error', 'files/f.mustache:1'],
    /^unknown name nodez; did you mean node\?/,
  ],
  [
    'a name that is nowhere in a target',
    [yaml('files:\n\n  /l: { link: "{{zoen}}" }')],
    ['error', 'overlay.yaml:3'],
    /^unknown name zoen/,
  ],
  [
    'a name that is nowhere in a name',
    [yaml('files: { "/{{nmae}}": { each: netdevs } }'), sourceFile('files/{{nmae}}', '')],
    ['error', 'files/{{nmae}}'],
    /^its name: unknown name nmae; did you mean name\?/,
  ],
  [
    'a name that is nowhere in when',
    [yaml('files:\n  /f: { when: tag.gpu }'), sourceFile('files/f', '')],
    ['error', 'overlay.yaml:2'],
    /^\/f: when: unknown name tag\.gpu; did you mean tags\.gpu\?/,
  ],
  [
    'a name that is nowhere in each',
    [yaml('files: { "/{{name}}": { each: netdevz } }'), sourceFile('files/{{name}}', '')],
    ['error', 'overlay.yaml:1'],
    /each: unknown name netdevz; did you mean netdevs\?/,
  ],
  [
    'a setting that there is none of',
    [sourceFile('files/f.mustache', '{{settings.imagee}}')],
    ['error', 'files/f.mustache:1'],
    /^unknown name settings\.imagee; did you mean settings\.image\?/,
  ],
  [
    'a misspelt name inside another',
    [sourceFile('files/f.mustache', '{{node.fqnd}}')],
    ['error', 'files/f.mustache:1'],
    /^unknown name node\.fqnd; did you mean node\.fqdn\?/,
  ],
  [
    "an item's name outside of its section",
    [sourceFile('files/f.mustache', '{{mtu}}')],
    ['warning', 'files/f.mustache:1'],
    /^mtu is not known here: mtu is a name inside something else/,
  ],
  [
    'all nodes beside the node',
    [sourceFile('files/f.mustache', '{{#nodes}}\n{{name}}\n{{/nodes}}\n{{node.name}}')],
    ['warning', 'files/f.mustache:1'],
    /^reads nodes and node\.name, so it is rendered for every node anew/,
  ],
  [
    'the node among all nodes',
    [sourceFile('files/f.mustache', '{{#nodes}}{{name}} {{primary.ip}} {{node.name}}{{/nodes}}')],
    ['warning', 'files/f.mustache:1'],
    /^reads nodes and node\.name/,
  ],
  ['lines of Windows', [sourceFile('files/f', 'a\nb\r\nc\r\n')], ['warning', 'files/f:2'], /CR LF/],
  [
    'a script that cannot be run',
    [sourceFile('files/usr/bin/x', '#!/bin/sh\n')],
    ['warning', 'files/usr/bin/x'],
    /cannot be run/,
  ],
  [
    'a script of a boot that cannot be run',
    [sourceFile('files/muster/init.d/50-x', '#!/bin/sh\n')],
    ['warning', 'files/muster/init.d/50-x'],
    /cannot be run/,
  ],
  [
    'a program without #!',
    [sourceFile('files/usr/bin/x', 'echo\n', true)],
    ['warning', 'files/usr/bin/x:1'],
    /has no #! line/,
  ],
  [
    'a path below merged /usr',
    [sourceFile('files/bin/x', 'x')],
    ['error', 'files/bin/x'],
    /would replace the link \/bin of the image: use \/usr\/bin\/x/,
  ],
  ['overlay.yaml that does not parse', [yaml('files: 5')], ['error', 'overlay.yaml'], /^files must be a map/],
  ['YAML that does not parse', [yaml('description: x\nfiles: {')], ['error', 'overlay.yaml:2'], /./],
  [
    'a template that does not parse',
    [sourceFile('files/f.mustache', '{{#a}}')],
    ['error', 'files/f.mustache:1'],
    /section a is never closed in o:\/f line 1/,
  ],
]

describe('lint', () => {
  it.each(cases)('finds %s', async (_what, files, where, message) => {
    const found = await lint(...files)
    expect(found.map(place)).toEqual([where])
    expect(found[0]?.message).toMatch(message)
  })

  it.each<[string, SourceFile[]]>([
    [
      'directories as they are',
      [
        yaml(
          'files: { /etc/: { mode: "0755" }, /root/: { mode: "0700" }, /tmp/: { mode: "1777" }, /srv/x/: { mode: "1777" } }',
        ),
      ],
    ],
    ['a public key', [sourceFile('files/etc/pki/x.key', '-----BEGIN PGP PUBLIC KEY BLOCK-----\n')]],
    [
      'a key that its node alone gets',
      [yaml('files: { /etc/x.key: { private: true, mode: "0400" } }'), sourceFile('files/etc/x.key', key)],
    ],
    ['a key that is a secret', [sourceFile('files/etc/x.key.mustache', '{{secrets.x}}')]],
    [
      'names of netdevs in their section',
      [
        sourceFile(
          'files/f.mustache',
          '{{#netdevs}}{{name}}{{#vlan}}{{id}}{{parentDevice}}{{/vlan}}{{#routes4}}{{gateway}}{{/routes4}}{{node.name}}{{/netdevs}}',
        ),
      ],
    ],
    [
      'names of an item, in its name and in when',
      [
        yaml('files: { "/{{name}}": { each: network.networkd, when: isVlan } }'),
        sourceFile('files/{{name}}.mustache', '{{device}}{{vlan.id}}'),
      ],
    ],
    [
      'whatever tags, resources and secrets hold',
      [
        sourceFile(
          'files/f.mustache',
          '{{tags.a}}{{#resources.slurm}}{{anything}}{{/resources.slurm}}{{#tags}}{{more}}{{/tags}}{{secrets.x.y}}',
        ),
      ],
    ],
    [
      'a netdev by its name',
      [sourceFile('files/f.mustache', '{{netdev.eth0.ip}}{{#netdev.eth0}}{{own}}{{/netdev.eth0}}')],
    ],
    ['items by number', [sourceFile('files/f.mustache', '{{nameservers.0}}{{netdevs.1.ip}}')]],
    ['settings', [sourceFile('files/f.mustache', '{{settings.image}}{{settings.bmc.user}}')]],
    [
      'look-ups',
      [
        sourceFile(
          'files/f.mustache',
          '{{#image.file}}/etc/passwd{{/image.file}}{{#head.file}}{{node.name}}{{/head.file}}',
        ),
      ],
    ],
    [
      'what comes after a section',
      [sourceFile('files/f.mustache', '{{^domain}}{{#netdevs}}{{ip}}{{/netdevs}}{{/domain}}{{cluster}}')],
    ],
    ['comments', [sourceFile('files/f.mustache', '{{! {{nothing }}{{cluster}}')]],
    [
      'nodes with what is the same for all',
      [
        sourceFile(
          'files/f.mustache',
          '{{head.ip}}{{#nodes}}{{name}}{{#netdevs}}{{ip}}{{/netdevs}}{{/nodes}}{{domain}}',
        ),
      ],
    ],
    ['a sourced script', [sourceFile('files/etc/profile.d/x.sh', '#!/bin/sh\n')]],
    [
      'a program',
      [sourceFile('files/usr/bin/x', '\u007fELF\u0002', true), sourceFile('files/usr/bin/y', '#!/bin/sh\n', true)],
    ],
  ])('has nothing to say of %s', async (_what, files) => {
    expect(await lint(...files)).toEqual([])
  })

  it('says everything at once, errors first, then by place', async () => {
    const found = await lint(
      yaml('files:\n  /tmp/: { mode: "0700" }\n  /etc/: { mode: "0777" }'),
      sourceFile('files/b.mustache', '{{mtu}}\n{{nope}}\n{{nope2}}'),
      sourceFile('files/a', 'x\r\n'),
    )
    expect(found.map(place)).toEqual([
      ['error', 'files/b.mustache:2'],
      ['error', 'files/b.mustache:3'],
      ['error', 'overlay.yaml:2'],
      ['error', 'overlay.yaml:3'],
      ['warning', 'files/a:1'],
      ['warning', 'files/b.mustache:1'],
    ])
  })

  it('is quick with a template made to be slow', async () => {
    const text = `${'{{#netdevs}}'.repeat(30)}${'{{name}} {{! {{#x '.repeat(1)}}}${'{{/netdevs}}'.repeat(30)}`
    expect(await lint(sourceFile('files/f.mustache', text))).toEqual([])
    const long = '{{tags.a}}'.repeat(20_000)
    expect(await lint(sourceFile('files/f.mustache', long))).toEqual([])
  })

  it('knows which files are themselves secrets', async () => {
    const { parsed } = await lintDirectory('o', [
      yaml('files: { /a: { private: true }, /b: { private: true } }'),
      sourceFile('files/a', 'x'),
      sourceFile('files/b.mustache', '{{secrets.b}}'),
      sourceFile('files/c', 'x'),
    ])
    expect(parsed && privateSources(parsed)).toEqual(['files/a'])
  })

  it.each(readdirSync(join(bootAssets, 'overlays')))('has no error in the shipped overlay %s', async (name) => {
    const { findings } = await lintDirectory(name, await shippedFiles(fsAssets([bootAssets]), name))
    expect(findings.filter(({ level }) => level === 'error')).toEqual([])
  })
})
