import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { AppError } from '../../src/errors.ts'
import { lintDirectory } from '../../src/overlays/lint.ts'
import { parseOverlay, type SourceFile } from '../../src/overlays/parse.ts'
import { sourceFile } from './fixtures.ts'

const yaml = (text: string) => sourceFile('overlay.yaml', text)
const manifestOf = async (...files: SourceFile[]) => (await parseOverlay('o', files)).manifest
const entryOf = async (...files: SourceFile[]) => (await manifestOf(...files)).entries[0]

describe('reload', () => {
  it.each([
    ['a unit', 'chronyd.service', [{ unit: 'chronyd.service' }]],
    [
      'a command',
      '[/usr/sbin/postmap, /etc/postfix/virtual]',
      [{ argv: ['/usr/sbin/postmap', '/etc/postfix/virtual'] }],
    ],
    [
      'a list of both, in its order',
      '[{ run: [/usr/bin/a, "b c"] }, { unit: x@y.timer }]',
      [{ argv: ['/usr/bin/a', 'b c'] }, { unit: 'x@y.timer' }],
    ],
    ['one of them as a map', '{ unit: a.service }', [{ unit: 'a.service' }]],
  ])('can be %s', async (_what, written, reload) => {
    expect(await entryOf(yaml(`files: { /f: { reload: ${written} } }`), sourceFile('files/f', ''))).toMatchObject({
      reload,
    })
  })

  it('holds for links, removals and directories too', async () => {
    const { entries } = await manifestOf(
      yaml(
        'files: { /l: { link: x, reload: a.service }, /r: { remove: true, reload: a.service }, /d/: { reload: a.service } }',
      ),
    )
    expect(entries.map(({ path, type, reload }) => [path, type, reload])).toEqual([
      ['/d', 'directory', [{ unit: 'a.service' }]],
      ['/l', 'link', [{ unit: 'a.service' }]],
      ['/r', 'removal', [{ unit: 'a.service' }]],
    ])
  })

  it.each([
    ['a name without its kind', 'chronyd', /reload "chronyd" is no unit: write chronyd\.service/],
    ['a path for a unit', '/usr/bin/x', /"\/usr\/bin\/x" is no unit, which is a name such as chronyd\.service/],
    ['a unit with a blank', '"a b.service"', /is no unit/],
    ['a unit that is an option', '--now.service', /is no unit/],
    [
      'several units without their names',
      '[a.service, b.service]',
      /written \[\{ unit: a\.service \}, \{ unit: b\.service \}\]/,
    ],
    ['a command by its name', '[postmap, x]', /first argument is an absolute path/],
    ['a shell line', '"/usr/bin/a && /usr/bin/b"', /is no unit/],
    ['an empty list', '[]', /must be a unit such as/],
    ['an empty command', '{ run: [] }', /0 arguments/],
    ['a number in a command', '[/usr/bin/x, 5]', /no text: put it in quotes/],
    ['an argument of nothing', '[/usr/bin/x, ""]', /has the argument ""/],
    ['an argument with a line break', '[/usr/bin/x, "a\\nb"]', /has the argument "a\\nb"/],
    ['an argument with a NUL', '[/usr/bin/x, "a\\0b"]', /has the argument/],
    ['an argument that ends in a blank', '[/usr/bin/x, "a "]', /no blanks at the ends/],
    ['too many arguments', `[/usr/bin/x${', a'.repeat(64)}]`, /65 arguments: it must have 1 to 64/],
    ['too much to do', `[${Array(17).fill('{ unit: a.service }').join(', ')}]`, /more than 16 things/],
    ['something else', '{ restart: a.service }', /must be a unit such as/],
    ['two things in one', '[{ unit: a.service, run: [/b] }]', /must be a unit such as/],
    ['a list in a list', '[[/usr/bin/a]]', /must be a unit such as/],
  ])('is refused for %s', async (_what, written, message) => {
    const parsed = manifestOf(yaml(`files: { /f: { reload: ${written} } }`), sourceFile('files/f', ''))
    await expect(parsed).rejects.toMatchObject({ code: 'OVERLAY_INVALID', message: expect.stringMatching(message) })
  })
})

describe('link', () => {
  it('makes a link without a file, whose target may be a template', async () => {
    const { entries } = await manifestOf(
      yaml(`
files:
  /etc/**: { mode: "0600", owner: "1:2" }
  /etc/localtime: { link: "../usr/share/zoneinfo/{{timezone}}", when: timezone }
  "/etc/units/{{name}}": { link: /dev/null, each: netdevs }
`),
    )
    const common = { mode: 0o777, uid: 1, gid: 2, type: 'link' }
    expect(entries).toEqual([
      {
        ...common,
        path: '/etc/localtime',
        template: true,
        when: 'timezone',
        target: '../usr/share/zoneinfo/{{timezone}}',
      },
      { ...common, path: '/etc/units/{{name}}', template: false, each: 'netdevs', target: '/dev/null' },
    ])
  })

  it.each([
    ['a pattern', '/etc/*: { link: x }', /\/etc\/\* is a pattern, and link is for one path/],
    [
      'a mode beside it',
      '/l: { link: x, mode: "0600" }',
      /has link, which goes with owner, each, when, private, reload and not with mode/,
    ],
    ['a removal beside it', '/l: { link: x, remove: true }', /cannot stand beside link/],
    ['nothing', '/l: { link: "" }', /link must be what the link points to/],
    ['a number', '/l: { link: 5 }', /link must be what the link points to/],
    ['a line break', '/l: { link: "a\\nb" }', /has a control character/],
    ['a long target', `/l: { link: ${'a'.repeat(4096)} }`, /more than 4095 characters/],
    ['a file at its path', '/f: { link: x }', /files\/f makes \/f, and overlay\.yaml says a link: take one away/],
    ['a path below it', '/d: { link: x }', /\/d\/g lies below \/d, which is a link/],
    ['a template that does not parse', '/l: { link: "{{#a}}" }', /section a is never closed/],
    ['an item in its name without each', '"/{{name}}": { link: x }', /has \{\{…\}\} in its name but no each/],
  ])('is refused for %s', async (_what, written, message) => {
    const parsed = manifestOf(yaml(`files:\n  ${written}`), sourceFile('files/f', ''), sourceFile('files/d/g', ''))
    await expect(parsed).rejects.toThrow(message)
  })
})

describe('remove', () => {
  it('takes a path of the image away, whatever patterns say', async () => {
    expect(
      await manifestOf(
        yaml('files: { /etc/**: { mode: "0600" }, /etc/motd.d/cockpit: { remove: true, when: tags.quiet } }'),
      ),
    ).toEqual({
      entries: [
        { path: '/etc/motd.d/cockpit', mode: 0, uid: 0, gid: 0, template: false, when: 'tags.quiet', type: 'removal' },
      ],
    })
  })

  it.each([
    ['a pattern', '/etc/*: { remove: true }', /is a pattern, and remove is for one path/],
    ['false', '/x: { remove: false }', /remove must be true: leave it out/],
    ['a slash at the end', '/x/: { remove: true }', /remove takes no \/ at the end: write \/x/],
    [
      'a mode beside it',
      '/x: { remove: true, mode: "0600" }',
      /has remove, which goes with when, reload and not with mode/,
    ],
    ['a file at its path', '/f: { remove: true }', /files\/f makes \/f, and overlay\.yaml says take it away/],
    ['a file below it', '/d: { remove: true }', /\/d\/g lies below \/d, which is taken away/],
    ['a directory that is made', '/x: { remove: true }\n  /x/: { mode: "0700" }', /\/x is both a/],
    ['each', '"/{{name}}": { remove: true, each: netdevs }', /not with each/],
    ['a secret to ask for', '/x: { remove: true, when: secrets.a }', /when may not ask for a secret/],
    ['a link of merged /usr', '/bin: { remove: true }', /would replace the link \/bin/],
  ])('is refused for %s', async (_what, written, message) => {
    const parsed = manifestOf(yaml(`files:\n  ${written}`), sourceFile('files/f', ''), sourceFile('files/d/g', ''))
    await expect(parsed).rejects.toThrow(message)
  })
})

describe('a private file', () => {
  const secretFiles: [what: string, attributes: string, file: SourceFile][] = [
    ['overlay.yaml says so', '{ private: true }', sourceFile('files/f', 'x')],
    ['it reads a secret', '{}', sourceFile('files/f.mustache', '{{secrets.munge}}')],
    ['it has a section of a secret', '{}', sourceFile('files/f.mustache', '{{#secrets.munge}}x{{/secrets.munge}}')],
    ['it reads the password', '{}', sourceFile('files/f.mustache', '{{bmc.password}}')],
    ['it reads the password in a section', '{}', sourceFile('files/f.mustache', '{{#bmc}}{{password}}{{/bmc}}')],
    ['it lists secrets', '{}', sourceFile('files/f.mustache', '{{#secrets}}x{{/secrets}}')],
    ['it is there when there is a secret', '{ when: secrets.a }', sourceFile('files/f', 'x')],
  ]
  it.each(secretFiles)('is one because %s, and then nobody else may read it', async (_what, attributes, file) => {
    expect(await entryOf(yaml(`files: { /f: ${attributes} }`), file)).toMatchObject({ private: true, mode: 0o600 })
    expect(await entryOf(yaml(`files: { /f: ${attributes} }`), { ...file, executable: true })).toMatchObject({
      private: true,
      mode: 0o700,
    })
  })

  it('may be read by a group, and by nobody else', async () => {
    const secret = sourceFile('files/f.mustache', '{{secrets.a}}')
    expect(await entryOf(yaml('files: { /f: { mode: "0640" } }'), secret)).toMatchObject({ mode: 0o640 })
    for (const mode of ['0644', '0604', '0602', '0601'])
      await expect(manifestOf(yaml(`files: { /f: { mode: "${mode}" } }`), secret)).rejects.toThrow(
        `/f is private (it reads secrets.a), and mode "${mode}" gives it to every user of the node`,
      )
  })

  it('is not made of what only sounds like a secret, nor of a comment', async () => {
    for (const text of ['{{tags.secrets}}', '{{tags.passwords}}', '{{! secrets.a }}', '{{tags.password-file}}'])
      expect(await entryOf(sourceFile('files/f.mustache', text))).not.toHaveProperty('private')
    expect(await entryOf(sourceFile('files/f', '{{secrets.a}}'))).not.toHaveProperty('private')
  })

  it('can be a link, whose mode means nothing', async () => {
    expect(await entryOf(yaml('files: { /l: { link: "/{{secrets.a}}" } }'))).toMatchObject({
      private: true,
      mode: 0o777,
    })
  })

  it.each([
    [
      'private: false beside a secret',
      yaml('files: { /f: { private: false } }'),
      'files/f.mustache',
      /has private: false and reads secrets\.a/,
    ],
    ['private that is no truth', yaml('files: { /f: { private: "yes" } }'), 'files/f', /private must be true or false/],
    [
      'a private directory',
      yaml('files: { /f/: { private: true } }'),
      'files/f/x',
      /it can have mode, owner, when and reload/,
    ],
    [
      'a secret in a name',
      yaml('files: { "/{{secrets.a}}": { each: netdevs } }'),
      'files/{{secrets.a}}',
      /reads secrets\.a in its name/,
    ],
    [
      'a directory that asks for a secret',
      yaml('files: { /f/: { when: secrets.a } }'),
      'files/f/x',
      /when may not ask for a secret/,
    ],
  ])('is refused for %s', async (_what, overlayYaml, path, message) => {
    await expect(manifestOf(overlayYaml, sourceFile(path, '{{secrets.a}}'))).rejects.toThrow(message)
  })
})

describe('secrets', () => {
  it('are declared with their kinds, and stand in the manifest', async () => {
    expect((await manifestOf(yaml('secrets: { ssh_host: ssh-ed25519, munge-key: random }'))).secrets).toEqual({
      ssh_host: 'ssh-ed25519',
      'munge-key': 'random',
    })
  })

  it.each([
    ['a kind that is none', '{ a: dsa }', /secrets: a must be one of ssh-ed25519, ssh-ecdsa, ssh-rsa, random/],
    ['a value that is none', '{ a: 5 }', /must be one of/],
    ['a map', '{ a: { kind: random } }', /must be one of/],
    ['a name that no template can say', '{ "a.b": random }', /"a\.b" must begin with a letter/],
    ['a public half', '{ a_pub: ssh-rsa }', /NAME_pub is the public half of a key pair NAME/],
    ['a name twice', '{ a: random, a: random }', /Map keys must be unique/],
    ['a list', '[a]', /secrets must be a map/],
    ['very many', `{ ${Array.from({ length: 33 }, (_, at) => `a${at}: random`).join(', ')} }`, /more than 32 names/],
    ['the prototype', '{ __proto__: random }', /must begin with a letter/],
  ])('are refused for %s', async (_what, written, message) => {
    await expect(manifestOf(yaml(`secrets: ${written}`))).rejects.toMatchObject({
      code: 'OVERLAY_INVALID',
      message: expect.stringMatching(message),
    })
  })
})

describe('a manifest', () => {
  it('has no keys that its overlay does not need, so that old versions keep their digests', async () => {
    const manifest = await manifestOf(sourceFile('files/f', 'x'))
    expect(Object.keys(manifest)).toEqual(['entries'])
    expect(Object.keys(manifest.entries[0] ?? {}).sort()).toEqual([
      'digest',
      'gid',
      'mode',
      'path',
      'size',
      'template',
      'type',
      'uid',
    ])
  })
})

describe('an overlay of anybody', () => {
  const word = fc.constantFrom('mode', 'owner', 'reload', 'link', 'remove', 'private', 'each', 'when', 'template', 'x')
  const value = fc.oneof(
    fc.constantFrom(
      '"0600"',
      '0777',
      'true',
      'false',
      'null',
      '~',
      'secrets.a',
      'netdevs',
      '"{{secrets.a}}"',
      'x.service',
    ),
    fc.constantFrom(
      '[/bin/x, y]',
      '[]',
      '{}',
      '{ unit: a.service }',
      '[{ run: [/a] }]',
      '[[[]]]',
      '&a 1',
      '*a',
      '!!binary aGk=',
    ),
    fc.string({ maxLength: 12 }).map((text) => JSON.stringify(text)),
  )
  const key = fc.oneof(
    fc.constantFrom('/f', '/f/', '/**', '/d/*', '"/{{name}}"', '/d/g', '/', '/bin/x', 'f', '"*"', '? [a]'),
    fc.string({ maxLength: 12 }).map((text) => JSON.stringify(`/${text}`)),
  )
  const rule = fc
    .tuple(key, fc.array(fc.tuple(word, value), { maxLength: 4 }))
    .map(([path, pairs]) => `  ${path}: { ${pairs.map(([name, set]) => `${name}: ${set}`).join(', ')} }`)
  const text = fc.oneof(
    fc.array(rule, { maxLength: 4 }).map((rules) => `files:\n${rules.join('\n')}`),
    fc
      .array(fc.tuple(word, value), { maxLength: 3 })
      .map((all) => `secrets: { ${all.map((one) => one.join(': ')).join(', ')} }`),
    fc.string({ maxLength: 60 }),
  )
  const template = fc.array(
    fc.constantFrom(
      '{{',
      '}}',
      '{{#netdevs}}',
      '{{/netdevs}}',
      '{{name}}',
      '{{secrets.a}}',
      '{{! x }}',
      '{{{a}}}',
      '{{^b}}',
      '{{/b}}',
      ' ',
      '\r\n',
      '#!',
      'x',
    ),
    { maxLength: 12 },
  )

  it('is an overlay, or is refused with a reason, and lint has a place for it', async () => {
    await fc.assert(
      fc.asyncProperty(text, template, fc.boolean(), async (overlayYaml, parts, executable) => {
        const files = [
          yaml(overlayYaml),
          sourceFile('files/f.mustache', parts.join(''), executable),
          sourceFile('files/d/g', parts.join('')),
        ]
        const { findings, parsed } = await lintDirectory('o', files)
        expect(parsed !== undefined || findings.length === 1).toBe(true)
        for (const { path, line } of findings) {
          expect(['', ...files.map((file) => file.path)]).toContain(path)
          expect(line === undefined || line >= 1).toBe(true)
        }
        await parseOverlay('o', files).catch((error) => {
          expect(error).toBeInstanceOf(AppError)
          expect(['OVERLAY_INVALID', 'TEMPLATE_INVALID']).toContain(error.code)
          expect(error.message).toContain('o')
        })
        for (const entry of parsed?.manifest.entries ?? [])
          if (entry.private && entry.type === 'file') expect(entry.mode & 0o007).toBe(0)
      }),
      { numRuns: 1000 },
    )
  })
})
