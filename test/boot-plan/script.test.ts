/** Nothing that settings or manifests can hold changes what a boot script does. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { legible } from '../../src/boot/ipxe.ts'
import type { Loader } from '../../src/boot/loaders.ts'
import type { BootPlan } from '../../src/boot/plan.ts'
import { fillScript, plannedView, renderScript, type ScriptView } from '../../src/boot/script.ts'
import { AppError } from '../../src/errors.ts'
import { parseTemplate } from '../../src/overlays/template.ts'
import { type Settings, settingsSchema } from '../../src/registry/settings.ts'
import { imageManifest, imageRoot, shippedAssets, url } from './fixtures.ts'
import { grubStructureOf, parseGrub } from './grub-parser.ts'
import { parseIpxe, structureOf } from './ipxe-parser.ts'

/** What templates of sites may do with data: on lines of its own, among words, glued to them, and without escaping. */
const site = `#!ipxe
echo {{tags.one}} {{{tags.two}}}{{&tags.one}} || goto x
set a {{tags.one}}
:x
kernel {{boot.kernel}}{{#boot.args}} {{.}}{{/boot.args}}
initrd --name {{image.name}} x{{kernel.version}} && echo {{tags.two}}
echo {{init}}{{#root.size}} {{root.size}}{{/root.size}}
goto x
`
const shipped = async (path: string) => (await shippedAssets().text(path)) ?? ''
const manifest = await imageManifest('rocky9')
const root = await imageRoot('rocky9')
const filling = { node: 'n001', mac: '52:54:00:00:00:01', attempt: 'a'.repeat(32), jitter: '7' }

/** What the plan and the tags of a node say, with the rest as it always is. */
type Said = {
  args: string[]
  tags: { one: string; two: string }
  image: string
  version: string
  init: string
  size: string
}

const harmless: Said = {
  args: ['quiet', 'a=b'],
  tags: { one: 'x y', two: 'z' },
  image: 'rocky9',
  version: '6.12',
  init: '/sbin/init',
  size: '50%',
}

const viewOf = ({ args, tags, image, version, init, size }: Said, loader: Loader): ScriptView => {
  const plan: BootPlan = {
    node: 'n001',
    revision: 1,
    image: { name: image, version: 1, digest: `sha256:${'0'.repeat(64)}`, architecture: 'x86_64' },
    kernel: { ...manifest.kernels[0]!, version },
    root: { mode: 'tmpfs', limit: size },
    overlays: { system: [], runtime: [{ name: 'hosts', digest: `sha256:${'1'.repeat(64)}` }] },
    args,
    init,
    script: 'default',
    onFailure: 'retry',
    warnings: [],
  }
  return plannedView(plan, loader, { cluster: 'cluster', url, tags, root })
}

/** The script, or the refusal's code and field. */
function render(text: string, loader: Loader, said: Said): string | AppError {
  try {
    return fillScript(renderScript(parseTemplate(text, 'test'), 'test', loader, viewOf(said, loader)), filling).text
  } catch (error) {
    if (error instanceof AppError) return error
    throw error
  }
}

const pieces = [
  '||',
  '&&',
  ';',
  '|',
  '&',
  '#',
  '${',
  '$',
  '{',
  '}',
  '\\',
  ' ',
  '"',
  "'",
  '-',
  ':',
  '=',
  'a',
  'net0/mac',
]
const lineEnds = ['\n', '\r', '\r\n', '\t', '\0', '\v', '\f', '\u0085', '\u2028', '\u2029', '\ud800', '\udfff']
const joined = (of: readonly string[]) =>
  fc.array(fc.constantFrom(...of), { maxLength: 8 }).map((some) => some.join(''))
const hostile = fc.oneof(
  joined([...pieces, ...lineEnds]),
  joined(pieces),
  fc.string({ unit: 'binary' }),
  fc.string({ unit: 'grapheme' }),
)

/** One field or another is hostile: if all were, most scripts would be refused for the first. */
const anything: fc.Arbitrary<Said> = fc
  .tuple(
    fc.record({
      args: fc.array(hostile, { maxLength: 3 }),
      tags: fc.record({ one: hostile, two: hostile }),
      image: hostile,
      version: hostile,
      init: hostile,
      size: hostile,
    }),
    fc.subarray(['args', 'tags', 'image', 'version', 'init', 'size'] as const),
  )
  .map(([said, kept]) => ({ ...harmless, ...Object.fromEntries(kept.map((field) => [field, said[field]])) }))

/** Settings that the schema takes, made of the same pieces. */
const accepted: fc.Arbitrary<Said> = anything
  .map(({ args, tags, ...rest }) => ({
    ...harmless,
    args: args.filter((arg) => accepts({ kernel: { args: [arg] } })),
    tags: { one: tags.one, two: tags.two },
    ...(accepts({ init: rest.init }) && { init: rest.init }),
  }))
  .filter(({ tags }) => accepts({ tags }))

const accepts = (settings: Settings): boolean => settingsSchema.safeParse(settings).success

const scripts: [string, Loader, string][] = [
  ['the shipped iPXE script', 'ipxe', await shipped('ipxe/default.ipxe')],
  ["a site's iPXE script", 'ipxe', site],
  ['the shipped GRUB script', 'grub', await shipped('grub/grub.cfg')],
]

describe.each(scripts)('%s', (_, loader, text) => {
  const structure = loader === 'ipxe' ? structureOf : grubStructureOf
  const expected = [0, 1, 2, 3].map((args) =>
    structure(render(text, loader, { ...harmless, args: Array<string>(args).fill('quiet') }) as string),
  )

  it.each([
    ['settings that the schema accepts', accepted],
    ['whatever got past the schema', anything],
  ])('has the same commands with %s, or is refused', (_name, saids) => {
    let rendered = 0
    fc.assert(
      fc.property(saids, (said) => {
        const script = render(text, loader, said)
        if (script instanceof AppError) {
          expect(script.code).toBe('SCRIPT_UNSAFE')
          expect(script.field).toMatch(
            /^(?:boot\.args\.\d+|tags\.(?:one|two)|image\.name|kernel\.version|init|root\.size)$/,
          )
        } else {
          rendered++
          expect(structure(script)).toEqual(expected[said.args.length])
        }
      }),
      { numRuns: 1500 },
    )
    expect(rendered).toBeGreaterThan(100)
  })
})

describe('values', () => {
  it('reach the kernel as they are, with iPXE', () => {
    fc.assert(
      fc.property(accepted, (said) => {
        const script = render(scripts[0]![2], 'ipxe', said)
        if (script instanceof AppError) return
        const kernel = parseIpxe(script).find(({ commands }) => commands[0]?.words[0] === 'kernel')
        const words = kernel!.commands[0]!.words.join(' ')
        expect(Buffer.from(words, 'latin1').toString('utf8')).toMatch(
          / initrd=runtime\.img muster\.mac=\$\{netX\/mac\}/,
        )
        expect(
          Buffer.from(words, 'latin1')
            .toString('utf8')
            .endsWith(['${lease}', ...said.args].join(' ')),
        ).toBe(true)
      }),
      { numRuns: 500 },
    )
  })

  it('reach GRUB as they are', () => {
    fc.assert(
      fc.property(accepted, (said) => {
        const args = said.args.filter((arg) => !/["'\\]/.test(arg))
        const script = render(scripts[2]![2], 'grub', { ...said, args })
        const linux = parseGrub(script as string).find((words) => words[1]?.text === 'linux')
        expect(linux!.slice(4).map(({ text }) => text)).toEqual(args)
      }),
      { numRuns: 500 },
    )
  })

  it.each([
    ['quiet', 'quiet'],
    ['dyndbg="file a +p"', 'dyndbg=file a +p'],
    ['"two words"', 'two words'],
  ])('with quotes, %s, are left to GRUB to quote', (arg, word) => {
    const script = render(scripts[2]![2], 'grub', { ...harmless, args: [arg] })
    const linux = parseGrub(script as string).find((words) => words[1]?.text === 'linux')
    expect(linux!.slice(4).map(({ text }) => text)).toEqual([word])
  })

  it.each([
    ['an expansion', 'a${net0/mac}', /^boot\.args\.0: "a\$\{net0\/mac\}" cannot stand in an iPXE script: it has \$\{/],
    ['an operator', 'a" || "b', /it has the word \|\|, which iPXE takes for an operator or a comment$/],
    ['a comment', 'a #b', /it has the word #b/],
    ['a line break', 'a\nreboot', /it has a control character or a line break$/],
    ['a line that goes on', 'a\\', /it ends in \\, which would join the next line to this one$/],
    ['half of an expansion', 'a$', /it has \$\{/],
    ['the other half of an expansion', '{a}', /it has \$\{/],
    ['blanks that would be lost', 'a  b', /it has blanks that iPXE would take away$/],
  ])('that are %s are refused by field and value', (_, arg, message) => {
    expect(render(scripts[0]![2], 'ipxe', { ...harmless, args: [arg] })).toMatchObject({
      code: 'SCRIPT_UNSAFE',
      field: 'boot.args.0',
      message: expect.stringMatching(message),
    })
  })

  it('that no template reads do no harm', () => {
    const said = { ...harmless, tags: { one: '# ${', two: '\n' } }
    expect(render(scripts[0]![2], 'ipxe', said)).toBe(render(scripts[0]![2], 'ipxe', harmless))
  })

  it('in the place of node, MAC or attempt are letters, digits, dots, colons and dashes', () => {
    const script = { parts: ['echo ', 'node', '\n'], excess: 0 }
    for (const node of ['', 'a b', "a'", 'a\n', '${x}', '-n', 'ä'])
      expect(() => fillScript(script, { ...filling, node })).toThrow(expect.objectContaining({ code: 'SCRIPT_UNSAFE' }))
  })
})

describe('a template', () => {
  it.each([
    [
      'an unknown name',
      'echo\necho {{kernel.verison}}',
      /^unknown name kernel\.verison in test line 2; did you mean kernel\.version\?/,
    ],
    ['a tag that is not set', 'echo {{tags.three}}', /tags\.three in test line 1/],
    ['a list as text', 'echo {{boot.args}}', /boot\.args is a list/],
    ['a partial', '{{> other}}', /partial/],
  ])('with %s is refused with its line', (_, text, message) => {
    expect(render(text, 'ipxe', harmless)).toMatchObject({
      code: 'TEMPLATE_INVALID',
      message: expect.stringMatching(message),
    })
  })
})

describe('a reason', () => {
  it('can be printed by iPXE whatever it says, and stays one line of one command', () => {
    fc.assert(
      fc.property(hostile, (text) => {
        const lines = structureOf(`echo ${legible(text)}\necho`)
        expect(lines).toEqual(structureOf('echo x\necho'))
      }),
      { numRuns: 3000 },
    )
  })

  it('keeps what can be read', () => {
    expect(legible('n001 has no image: set one with `muster node set n001 --image NAME`')).toBe(
      'n001 has no image: set one with `muster node set n001 --image NAME`',
    )
    expect(legible('rack #3; ${x}\nreboot || x')).toBe("rack '#3;' S{x} reboot '||' x")
  })
})
