import { describe, expect, it } from 'vitest'
import { overlayLimits, parseOverlay, type SourceFile } from '../../src/overlays/parse.ts'
import { sourceFile } from './fixtures.ts'

const yaml = (text: string) => sourceFile('overlay.yaml', text)
const entriesOf = async (...files: SourceFile[]) => (await parseOverlay('o', files)).manifest.entries
const linkTo = (path: string, link: string): SourceFile => ({
  path,
  content: new Uint8Array(),
  executable: false,
  link,
})

describe('an overlay', () => {
  it('is a directory of files, and templates lose their suffix', async () => {
    const { manifest, sources, contents } = await parseOverlay('o', [
      sourceFile('files/usr/local/bin/tool', '#!/bin/sh\n', true),
      sourceFile('files/etc/motd.mustache', 'hi {{node.name}}\n'),
      sourceFile('README.md', 'About'),
      linkTo('files/etc/localtime', '../usr/share/zoneinfo/UTC'),
    ])
    const digest = expect.stringMatching(/^sha256:[0-9a-f]{64}$/)
    const root = { uid: 0, gid: 0 }
    expect(manifest).toEqual({
      entries: [
        {
          path: '/etc/localtime',
          mode: 0o777,
          ...root,
          template: false,
          type: 'link',
          target: '../usr/share/zoneinfo/UTC',
        },
        { path: '/etc/motd', mode: 0o644, ...root, template: true, type: 'file', digest, size: 17 },
        { path: '/usr/local/bin/tool', mode: 0o755, ...root, template: false, type: 'file', digest, size: 10 },
      ],
    })
    expect([...contents.values()].map((bytes) => new TextDecoder().decode(bytes)).sort()).toEqual([
      '#!/bin/sh\n',
      'About',
      'hi {{node.name}}\n',
    ])
    expect(sources).toEqual([
      { path: 'README.md', executable: false, digest },
      { path: 'files/etc/localtime', executable: false, link: '../usr/share/zoneinfo/UTC' },
      { path: 'files/etc/motd.mustache', executable: false, digest },
      { path: 'files/usr/local/bin/tool', executable: true, digest },
    ])
  })

  it('says the same whatever the order of its files', async () => {
    const files = ['b', 'a', 'c'].map((name) => sourceFile(`files/${name}`, name))
    expect((await parseOverlay('o', files)).manifest).toEqual((await parseOverlay('o', files.toReversed())).manifest)
  })

  it('takes the attributes of overlay.yaml: later patterns above earlier ones, paths above patterns, one by one', async () => {
    const entries = await entriesOf(
      yaml(`
description: Keys and such
files:
  /etc/ssh/key: { owner: "7:8" }
  /etc/**: { mode: "0640", owner: "1:2" }
  /etc/ssh/*: { mode: 0o600 }
  /etc/*/conf: { when: tags.gpu, template: true }
`),
      sourceFile('files/etc/motd', ''),
      sourceFile('files/etc/ssh/key', ''),
      sourceFile('files/etc/ssh/conf', ''),
      sourceFile('files/etc/ssh/d/deep', ''),
      sourceFile('files/srv/x', ''),
    )
    expect(
      entries.map(({ path, mode, uid, gid, when, template }) => [path, mode.toString(8), uid, gid, when, template]),
    ).toEqual([
      ['/etc/motd', '640', 1, 2, undefined, false],
      ['/etc/ssh/conf', '600', 1, 2, 'tags.gpu', true],
      ['/etc/ssh/d/deep', '640', 1, 2, undefined, false],
      ['/etc/ssh/key', '600', 7, 8, undefined, false],
      ['/srv/x', '644', 0, 0, undefined, false],
    ])
  })

  it.each([
    ['/a/*', ['/a/b'], ['/a/b/c', '/b/b']],
    ['/a/**', ['/a/b', '/a/b/c'], ['/b/b']],
    ['/**/c', ['/c', '/a/c', '/a/b/c'], ['/a/cc']],
    ['/a*c/x', ['/ac/x', '/abc/x'], ['/a/c/x']],
    ['/**/*.d/**/x', ['/a.d/x', '/b/a.d/c/d/x'], ['/a/x']],
    ['/*a*b*', ['/ab', '/xaxbx', '/aab'], ['/ba']],
    ['/a.c', ['/a.c'], ['/abc']],
  ])('matches %s with %j and not with %j', async (pattern, matching, others) => {
    for (const path of [...matching, ...others]) {
      const [entry] = await entriesOf(
        yaml(`files: { ${JSON.stringify(pattern)}: { mode: "0600" }, /zz: { mode: "0600" } }`),
        sourceFile(`files${path}`, ''),
        sourceFile('files/zz', ''),
      ).catch((error) => [{ path, mode: error.message.includes(`${pattern} matches nothing`) ? 0o644 : -1 }])
      expect([path, entry?.mode]).toEqual([path, matching.includes(path) ? 0o600 : 0o644])
    }
  })

  it('is quick with a pattern made to be slow', async () => {
    const slow = `/${'*a'.repeat(100)}b`
    const path = `/${'a'.repeat(250)}`
    await expect(
      entriesOf(yaml(`files: { ${JSON.stringify(slow)}: {} }`), sourceFile(`files${path}`, '')),
    ).rejects.toThrow(/matches nothing/)
  })

  it('makes the directories that a key with a slash at its end names', async () => {
    const entries = await entriesOf(
      yaml(
        'files: { /root/.ssh/: { mode: "0700" }, /scratch/: { mode: "1777", when: tags.scratch }, /etc/**/: { owner: "0:5" } }',
      ),
      sourceFile('files/root/.ssh/authorized_keys', ''),
      sourceFile('files/etc/a/b/c', ''),
    )
    expect(entries.filter(({ type }) => type === 'directory')).toEqual([
      { path: '/etc', mode: 0o755, uid: 0, gid: 5, template: false, type: 'directory' },
      { path: '/etc/a', mode: 0o755, uid: 0, gid: 5, template: false, type: 'directory' },
      { path: '/etc/a/b', mode: 0o755, uid: 0, gid: 5, template: false, type: 'directory' },
      { path: '/root/.ssh', mode: 0o700, uid: 0, gid: 0, template: false, type: 'directory' },
      { path: '/scratch', mode: 0o1777, uid: 0, gid: 0, template: false, when: 'tags.scratch', type: 'directory' },
    ])
  })

  it.each([
    ['"0600"', 0o600],
    ['0600', 0o600],
    ['0o600', 0o600],
    ['"0o0600"', 0o600],
    ['"4755"', 0o4755],
    ['"04755"', 0o4755],
    ['600', undefined],
    ['"600"', 0o600],
    ['384', undefined],
    ['0x180', undefined],
    ['0888', undefined],
    ['u=rw', undefined],
    ['true', undefined],
    ['-0600', undefined],
    ['"00004755"', undefined],
  ])('takes mode %s for octal %o or refuses it', async (written, mode) => {
    const parsed = entriesOf(yaml(`files:\n  /f: { mode: ${written} }`), sourceFile('files/f', ''))
    if (mode === undefined)
      await expect(parsed).rejects.toThrow(
        /^overlay o: overlay.yaml: files: \/f: mode is .*(?:octal or decimal: write "0|must be octal)/,
      )
    else expect((await parsed)[0]?.mode).toBe(mode)
  })

  it.each<[string, string, RegExp]>([
    [
      'an unknown attribute',
      'files: { /f: { mod: "0600" } }',
      /files: \/f: mod is no attribute \(did you mean mode\?\)/,
    ],
    ['an attribute of another kind', 'files: { /f: { sticky: yes } }', /sticky is no attribute: there are mode, owner/],
    [
      'a key that matches nothing',
      'files: { /g: { mode: "0600" } }',
      /files: \/g matches nothing: put the file below files\//,
    ],
    ['a key with the suffix', 'files: { /f.mustache: { mode: "0600" } }', /name the file as the node has it, \/f$/],
    ['a pattern that matches nothing', 'files: { /x/*: { mode: "0600" } }', /\/x\/\* matches nothing/],
    [
      'a pattern of directories that matches nothing',
      'files: { /x/*/: { mode: "0700" } }',
      /no file lies below such a directory/,
    ],
    ['names for an owner', 'files: { /f: { owner: "root:root" } }', /owner must be numbers, such as "0:0"/],
    ['an owner that is no id', 'files: { /f: { owner: "0:4294967295" } }', /owner must be numbers/],
    ['a relative key', 'files: { f: {} }', /files: "f" is not absolute/],
    ['a key that climbs', 'files: { /a/../f: {} }', /has \. or \.\. in it/],
    [
      'a template that is neither true nor false',
      'files: { /f: { template: "yes" } }',
      /template must be true or false/,
    ],
    ['a when that is no name', 'files: { /f: { when: "a b" } }', /when must be a name of the view, such as tags.gpu/],
    [
      'each without an item in the name',
      'files: { /f: { each: netdevs } }',
      /has each \(netdevs\), so its name must say how items differ/,
    ],
    ['attributes that are no map', 'files: { /f: "0600" }', /must be a map such as/],
    ['an attribute that is a list', 'files: { /f: { mode: ["0600"] } }', /mode must be one value/],
    [
      'each for a directory',
      'files: { /d/: { each: netdevs } }',
      /is a directory \(it ends in \/\): it can have mode, owner, when and reload/,
    ],
    [
      'a directory where a file is',
      'files: { /f/: { mode: "0700" } }',
      /\/f is both a directory \(in overlay.yaml\) and a file/,
    ],
    ['a key twice', 'files:\n  /f: { mode: "0600" }\n  /f: { mode: "0644" }', /line 3: Map keys must be unique/],
    [
      'an unknown section',
      'file: {}',
      /file is not known \(did you mean files\?\): it has description, files and secrets/,
    ],
    ['a list', '- a', /must be a map/],
    ['broken YAML', 'files: {', /line 1: /],
    ['an alias', 'files: { /f: &a { mode: "0600" }, /f2: *a }', /\/f2 must be a map/],
    ['a description of many lines', 'description: "a\\nb"', /description must be one line/],
  ])('is refused for %s in overlay.yaml', async (_what, text, message) => {
    const parsed = parseOverlay('o', [yaml(text), sourceFile('files/f', '')])
    await expect(parsed).rejects.toMatchObject({ code: 'OVERLAY_INVALID', message: expect.stringMatching(message) })
    await expect(parsed).rejects.toThrow(/^overlay o: /)
  })

  const big = new Uint8Array(overlayLimits.file)
  it.each<[string, SourceFile[], RegExp]>([
    ['a path that climbs', [sourceFile('files/../../etc/passwd', '')], /has \. or \.\. in it/],
    ['an absolute path', [sourceFile('/etc/passwd', '')], /is not part of an overlay/],
    ['a NUL', [sourceFile('files/a\0b', '')], /has a control character/],
    ['a line break', [sourceFile('files/a\nb', '')], /has a control character/],
    ['an empty part', [sourceFile('files//etc/x', '')], /has an empty part/],
    [
      'a file beside files/',
      [sourceFile('etc/motd', '')],
      /"etc\/motd" is not part of an overlay: it has overlay.yaml, README and, for the node, files\/…/,
    ],
    ['overlay.yaml as a link', [linkTo('overlay.yaml', '/etc/shadow')], /is not part of an overlay/],
    ['a path twice', [sourceFile('files/f', ''), sourceFile('files/f', '')], /is there twice/],
    [
      'a file and its template',
      [sourceFile('files/f', ''), sourceFile('files/f.mustache', '')],
      /files\/f and files\/f.mustache both make \/f/,
    ],
    [
      'a file below a file',
      [sourceFile('files/f', ''), sourceFile('files/f/g', '')],
      /\/f\/g lies below \/f, which is a file/,
    ],
    [
      'a file below a link',
      [linkTo('files/f', 'x'), sourceFile('files/f/g', '')],
      /\/f\/g lies below \/f, which is a link/,
    ],
    [
      'a file in /lib64',
      [sourceFile('files/lib64/x.so', '')],
      /would replace the link \/lib64 of the image: use \/usr\/lib64\/x.so/,
    ],
    ['a file in /var/run', [sourceFile('files/var/run/x', '')], /would replace the link \/var\/run/],
    ['a file in /proc', [sourceFile('files/proc/x', '')], /is below \/proc/],
    ['a name that is too long', [sourceFile(`files/${'é'.repeat(128)}`, '')], /has a part of more than 255 bytes/],
    ['an item in a name without each', [sourceFile('files/{{name}}', '')], /has {{…}} in its name but no each/],
    [
      'a template that is no text',
      [{ ...sourceFile('files/f.mustache', ''), content: new Uint8Array([0xff]) }],
      /files\/f.mustache is not UTF-8/,
    ],
    [
      'a file that is too large',
      [{ ...sourceFile('files/f', ''), content: new Uint8Array(overlayLimits.file + 1) }],
      /has 4194305 bytes, more than 4194304/,
    ],
    [
      'too many bytes',
      [1, 2, 3, 4, 5].map((at) => ({ ...sourceFile(`files/${at}`, ''), content: big })),
      /20971520 bytes, more than 16777216/,
    ],
    [
      'too many files',
      Array.from({ length: 5001 }, (_, at) => sourceFile(`files/${at}`, '')),
      /5001 files are more than 5000/,
    ],
    ['a link to nothing', [linkTo('files/f', '')], /is a link to nothing that can be/],
  ])('is refused for %s', async (_what, files, message) => {
    await expect(parseOverlay('o', files)).rejects.toMatchObject({
      code: 'OVERLAY_INVALID',
      message: expect.stringMatching(message),
    })
  })

  it('is refused for a template that does not parse, with its file and line', async () => {
    await expect(entriesOf(sourceFile('files/etc/f.mustache', 'a\n{{#b}}'))).rejects.toMatchObject({
      code: 'TEMPLATE_INVALID',
      message: 'section b is never closed in o:/etc/f line 2',
    })
  })

  it('may be empty', async () => {
    expect((await parseOverlay('o', [])).manifest).toEqual({ entries: [] })
    expect((await parseOverlay('o', [yaml('')])).manifest).toEqual({ entries: [] })
  })
})
