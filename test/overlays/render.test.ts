import fc from 'fast-check'
import mustache from 'mustache'
import { describe, expect, it } from 'vitest'
import { renderOverlays } from '../../src/overlays/layers.ts'
import { renderMemory } from '../../src/overlays/memory.ts'
import { namesIn } from '../../src/overlays/scope.ts'
import { buildView } from '../../src/overlays/view.ts'
import { bonded, cluster, inputOf, inputsOf, overlayOf, plain, textOf } from './fixtures.ts'

/** What one template makes of some data. */
async function render(template: string, view: Record<string, unknown> = {}): Promise<string> {
  return textOf(renderOverlays([await overlayOf('o', { 'files/etc/f.mustache': template })], view)[0])
}

/** What is said of a template that cannot be rendered. */
const fault = (template: string, view: Record<string, unknown> = {}) =>
  render(template, view).then(
    (text) => `rendered: ${text}`,
    (error) => `${error.code}: ${error.message}`,
  )

describe('a template', () => {
  it.each<[string, string, Record<string, unknown>, string]>([
    ['prints text as it is', '{{a}} {{{a}}} {{&a}}', { a: `<&"'>` }, `<&"'> <&"'> <&"'>`],
    ['prints numbers and booleans', '{{n}} {{zero}} {{b}}', { n: 9000, zero: 0, b: false }, '9000 0 false'],
    ['repeats a section for a list', '{{#l}}{{.}},{{/l}}', { l: [1, 2] }, '1,2,'],
    ['goes into a map', '{{#m}}{{a}}{{/m}}', { m: { a: 1 } }, '1'],
    ['leaves a section out that is absent', 'x{{#a}}y{{/a}}{{#a.b.c}}y{{/a.b.c}}', {}, 'x'],
    ['leaves a section out that is empty', '{{#a}}y{{/a}}{{#b}}y{{/b}}{{#c}}y{{/c}}', { a: [], b: '', c: false }, ''],
    ['shows an inverted section of what is absent', '{{^a}}no{{/a}}{{^b}}no{{/b}}', { b: [] }, 'nono'],
    ['looks outwards for a name', '{{#l}}{{a}}{{b}} {{/l}}', { a: 1, l: [{ b: 2 }, { a: 3, b: 4 }] }, '12 34 '],
    [
      'does not look outwards past an item that has the name without a value',
      '{{#l}}{{#a}}{{a}}{{/a}}{{/l}}',
      { a: 1, l: [{ a: undefined }] },
      '',
    ],
    [
      'does not join an outer map to an inner one',
      '{{#l}}{{#t.x}}{{t.x}}{{/t.x}}{{/l}}',
      { t: { x: 1 }, l: [{ t: {} }] },
      '',
    ],
    ['takes an item of a list by its number', '{{l.1}}{{#l.5}}no{{/l.5}}', { l: ['a', 'b'] }, 'b'],
    ['removes the lines of tags that stand alone', 'a\n{{#t}}\nb\n{{/t}}\n{{! why }}\nc\n', { t: true }, 'a\nb\nc\n'],
    ['keeps braces that are no tags', 'a { b } }} ${c}', {}, 'a { b } }} ${c}'],
  ])('%s', async (_name, template, view, expected) => {
    expect(await render(template, view)).toBe(expected)
  })

  it.each([
    ['a\nb {{netdev.eht0}}', 'unknown name netdev.eht0 in o:/etc/f line 2; did you mean netdev.eth0?'],
    ['{{nods}}', 'unknown name nods in o:/etc/f line 1; did you mean node?'],
    ['{{node.fdqn}}', 'unknown name node.fdqn in o:/etc/f line 1; did you mean node.fqdn?'],
    ['{{quite.other}}', 'unknown name quite.other in o:/etc/f line 1'],
    ['{{#list}}\n\n{{nam}}{{/list}}', 'unknown name nam in o:/etc/f line 3; did you mean name?'],
    [
      '{{kernel.version}}',
      'kernel has no value in o:/etc/f line 1; put {{kernel.version}} between {{#kernel}} and {{/kernel}}',
    ],
    ['{{nothing}}', 'nothing has no value in o:/etc/f line 1; put {{nothing}} between {{#nothing}} and {{/nothing}}'],
    ['{{node}}', 'node is a map, not text, in o:/etc/f line 1; use {{#node}}…{{/node}}'],
    ['{{{list}}}', 'list is a list, not text, in o:/etc/f line 1; use {{#list}}…{{/list}}'],
    ['{{call}}', 'call is a function, not text, in o:/etc/f line 1; use {{#call}}…{{/call}}'],
  ])('that says %j is an error that tells where and why', async (template, message) => {
    const view = {
      node: { fqdn: 'n1' },
      netdev: { eth0: {} },
      list: [{ name: 'a' }],
      kernel: undefined,
      nothing: null,
      call: () => 'never',
    }
    expect(await fault(template, view)).toBe(`TEMPLATE_INVALID: ${message}`)
  })

  it.each([
    ['a\n{{b', 'tag "{{b" has no }} in o:/etc/f line 2'],
    ['{{{b}}', 'tag "{{{b}}" has no }}} in o:/etc/f line 1'],
    ['{{a}}\n{{#b}}\n\n', 'section b is never closed in o:/etc/f line 2'],
    ['{{/b}}', '{{/b}} closes a section that is not open in o:/etc/f line 1'],
    ['{{#a}}\n{{#b}}\n{{/a}}', '{{/a}} where section b of line 2 must be closed first in o:/etc/f line 3'],
    ['\n{{> other}}', 'partial {{> other}} (a template cannot include another) in o:/etc/f line 2'],
    ['{{=<% %>=}}', 'change of delimiters {{=…=}} (templates keep {{ and }}) in o:/etc/f line 1'],
    [
      '{{#if x}}',
      '{{#if x}} is not a name (there are no expressions, only names such as node.fqdn) in o:/etc/f line 1',
    ],
    ['{{}}', '{{}} is not a name (there are no expressions, only names such as node.fqdn) in o:/etc/f line 1'],
    [`{{a${' '.repeat(100)}b}}`, 'tag "{{a                 " has more than 64 blanks in a row in o:/etc/f line 1'],
    [`{{${'a'.repeat(300)}}}`, 'tag "{{aaaaaaaaaaaaaaaaaa" is longer than 256 characters in o:/etc/f line 1'],
    [`${'{{#a}}'.repeat(33)}${'{{/a}}'.repeat(33)}`, 'sections nested deeper than 32 in o:/etc/f line 1'],
    [
      'x'.repeat(300_000),
      'o:/etc/f is a template of 300000 characters, more than 262144: ship the constant part as a plain file',
    ],
  ])('is refused when it is read: %#', async (template, message) => {
    expect(await fault(template)).toBe(`TEMPLATE_INVALID: ${message}`)
  })

  it.each(['constructor', '__proto__', 'toString', 'hasOwnProperty', 'length', 'at'])(
    'does not see %s, of maps, lists, texts or numbers',
    async (name) => {
      const view = { map: {}, list: [1], text: 'abc', number: 1 }
      for (const holder of ['', 'map.', 'list.', 'text.', 'number.']) {
        expect(await fault(`{{${holder}${name}}}`, view)).toMatch(
          `TEMPLATE_INVALID: unknown name ${holder}${name} in o:`,
        )
        expect(await render(`{{#${holder}${name}}}seen{{/${holder}${name}}}`, view)).toBe('')
      }
      expect(await fault(`{{#list}}{{${name}}}{{/list}}`, view)).toMatch('unknown name')
      expect(await fault(`{{#text}}{{${name}}}{{/text}}`, view)).toMatch('unknown name')
    },
  )

  it.each(['constructor', '__proto__', 'toString', 'toJSON', 'hasOwnProperty', 'then'])(
    'does not see %s of the view of a node',
    async (name) => {
      const overlay = (template: string) => overlayOf('o', { 'files/etc/f.mustache': template })
      for (const holder of [
        '',
        'node.',
        'netdev.',
        'primary.',
        'netdevs.',
        'settings.',
        'image.',
        'users.',
        'nodes.0.',
      ]) {
        const open = await overlay(`{{#${holder}${name}}}seen{{/${holder}${name}}}`)
        expect(textOf(renderOverlays([open], buildView(inputOf(bonded)))[0])).toBe('')
        const variable = await overlay(`{{${holder}${name}}}`)
        expect(() => renderOverlays([variable], buildView(inputOf(bonded)))).toThrow(
          `unknown name ${holder}${name} in o:`,
        )
      }
    },
  )

  it('gives text or is refused for any names of the view of a node, and asks for no file outside', async () => {
    const names = [
      ...namesIn(buildView(inputOf(bonded))),
      'name',
      'ip',
      'file',
      '.',
      'nodes.0.primary.ip',
      'netdev.default',
      'image.file',
      'head.file',
    ]
    const leaf = fc.oneof(
      fc.constantFrom(...names).map((name) => `{{${name}}}`),
      fc.constantFrom('/', '..', '/etc/passwd', 'x'),
    )
    const { template } = fc.letrec<{ template: string }>((tie) => ({
      template: fc.oneof(
        { maxDepth: 5 },
        leaf,
        fc.tuple(tie('template'), tie('template')).map((two) => two.join('')),
        fc
          .tuple(fc.constantFrom('#', '^'), fc.constantFrom(...names), tie('template'))
          .map(([sign, name, inner]) => `{{${sign}${name}}}${inner}{{/${name}}}`),
      ),
    }))
    const asked: string[] = []
    const reading = (path: string) => {
      asked.push(path)
      return new TextEncoder().encode(`{{${path}}}`)
    }
    const inputs = { ...inputsOf(cluster), imageFile: reading, headFile: reading }
    const memory = renderMemory(100_000)
    let rendered = 0
    await fc.assert(
      fc.asyncProperty(template, fc.constantFrom(...cluster), async (text, node) => {
        try {
          const overlay = await overlayOf('o', { 'files/etc/f.mustache': text })
          const [file] = renderOverlays([overlay], buildView({ ...inputOf(node), inputs }), memory)
          const [again] = renderOverlays([overlay], buildView({ ...inputOf(node), inputs }))
          expect(textOf(file)).toBe(textOf(again))
          rendered++
        } catch (error) {
          expect(error).toMatchObject({ code: expect.stringMatching(/^(?:TEMPLATE|OVERLAY)_INVALID$/) })
        }
      }),
      { numRuns: 1500 },
    )
    expect(rendered).toBeGreaterThan(100)
    expect(asked.filter((path) => path.split('/').includes('..'))).toEqual([])
  })

  it('calls no function that the data has', async () => {
    let calls = 0
    const view = { f: () => calls++ }
    expect(await render('{{#f}}x{{/f}}{{^f}}y{{/f}}', view)).toBe('y')
    expect(calls).toBe(0)
  })

  it('is stopped when it repeats itself too often', async () => {
    const many = Array.from({ length: 1000 }, () => 1)
    const open = '{{#l}}'.repeat(8)
    expect(await fault(`${open}${'{{/l}}'.repeat(8)}`, { l: many })).toMatch(/visits more than 10000000 tags and items/)
    const nested = `{{#l}}{{#l}}${'x'.repeat(1000)}{{/l}}{{/l}}`
    expect(await fault(nested, { l: many })).toMatch(/makes more than 16777216 characters/)
    expect(await fault('{{#l}}{{#l}}{{big}}{{/l}}{{/l}}', { l: many, big: 'x'.repeat(1000) })).toMatch(
      /makes more than/,
    )
  })

  it('means what mustache means by it, wherever both have an answer', async () => {
    const piece = fc.constantFrom(
      '{{a}}',
      '{{#l}}',
      '{{/l}}',
      '{{^e}}',
      '{{/e}}',
      '{{! c }}',
      '\n',
      ' ',
      'x',
      '{{#m}}',
      '{{/m}}',
      '{{.}}',
    )
    const view = { a: 'A', l: [1, 2], e: [], m: { a: 'M' } }
    const options = { escape: String }
    let compared = 0
    await fc.assert(
      fc.asyncProperty(fc.array(piece, { maxLength: 12 }), async (pieces) => {
        const template = pieces.join('')
        const answer = await fault(template, view)
        if (answer.startsWith('TEMPLATE_INVALID')) return
        compared++
        expect(answer).toBe(`rendered: ${mustache.render(template, view, {}, options)}`)
      }),
      { numRuns: 2000 },
    )
    expect(compared).toBeGreaterThan(200)
  })

  it('is rendered or refused, whatever it is, and says nothing else', async () => {
    const piece = fc.oneof(
      fc.string(),
      fc.constantFrom('{{', '}}', '{{{', '}}}', '#', '/', '^', '&', '!', '=', '>', 'a', '\n', ' ', '.'),
    )
    await fc.assert(
      fc.asyncProperty(fc.array(piece, { maxLength: 20 }), async (pieces) => {
        expect(await fault(pieces.join(''), { a: 'A' })).toMatch(/^(?:rendered|TEMPLATE_INVALID): /)
      }),
      { numRuns: 2000 },
    )
  })
})

describe('an entry', () => {
  const yaml = (files: string) => ({ 'overlay.yaml': `files:\n${files}` })

  it('with each makes one file for each item, its name rendered too', async () => {
    const overlay = await overlayOf('o', {
      ...yaml('  "/etc/{{name}}.conf": { each: netdevs }\n'),
      'files/etc/{{name}}.conf.mustache': '{{name}} of {{node.name}}\n',
    })
    const files = renderOverlays([overlay], buildView(inputOf(bonded)))
    expect(files.map((file) => file.path)).toEqual(
      ['default', 'port1', 'port2', 'storage'].map((name) => `/etc/${name}.conf`),
    )
    expect(textOf(files[0])).toBe('default of n10\n')
  })

  it('with each over a map knows the key of each item', async () => {
    const overlay = await overlayOf('o', {
      ...yaml('  "/etc/{{key}}": { each: resources.files, template: true }\n'),
      'files/etc/{{key}}': '{{key}}={{.}}',
    })
    const files = renderOverlays([overlay], { resources: { files: { b: 2, a: 1 } } })
    expect(files.map((file) => [file.path, textOf(file)])).toEqual([
      ['/etc/a', 'a=1'],
      ['/etc/b', 'b=2'],
    ])
  })

  it('with each makes nothing of what is absent or empty', async () => {
    const overlay = await overlayOf('o', { ...yaml('  "/etc/{{key}}": { each: a.b }\n'), 'files/etc/{{key}}': '' })
    for (const view of [{}, { a: {} }, { a: { b: [] } }, { a: { b: {} } }, { a: { b: null } }])
      expect(renderOverlays([overlay], view)).toEqual([])
  })

  it.each([
    ['two items of one name', [{ name: 'x' }, { name: 'x' }], 'makes /etc/x twice'],
    ['an item with a slash', [{ name: 'a/b' }], '"/etc/a/b" has a / more than its pattern'],
    ['an item that climbs', [{ name: '..' }], '"/etc/.." has . or .. in it'],
    ['an item without the name', [{}], 'unknown name name in o:/etc/{{name}} (its name) line 1'],
    ['an item with an empty name', [{ name: '' }], '"/etc/" has an empty part'],
    ['an item with a line break', [{ name: 'a\nb' }], 'has a control character in it'],
    ['a text', 'text', 'has each: items, which is neither a list nor a map'],
    ['too many items', Array.from({ length: 5001 }, (_, name) => ({ name })), 'has 5001 items, more than 5000'],
  ])('with each is refused for %s', async (_what, items, message) => {
    const overlay = await overlayOf('o', { ...yaml('  "/etc/{{name}}": { each: items }\n'), 'files/etc/{{name}}': '' })
    expect(() => renderOverlays([overlay], { items })).toThrow(
      expect.objectContaining({ code: 'TEMPLATE_INVALID', message: expect.stringContaining(message) }),
    )
  })

  it.each([
    [{ tags: { gpu: 'yes' } }, 1],
    [{ tags: { gpu: '' } }, 0],
    [{ tags: { gpu: false } }, 0],
    [{ tags: { gpu: [] } }, 0],
    [{ tags: {} }, 0],
    [{}, 0],
  ])('with when is there for %j: %i', async (view, count) => {
    const overlay = await overlayOf('o', { ...yaml('  /etc/f: { when: tags.gpu }\n'), 'files/etc/f': '' })
    expect(renderOverlays([overlay], view)).toHaveLength(count)
  })

  it('with each asks when of the item', async () => {
    const overlay = await overlayOf('o', {
      ...yaml('  "/etc/{{name}}": { each: netdevs, when: isVlan }\n'),
      'files/etc/{{name}}': '',
    })
    expect(renderOverlays([overlay], buildView(inputOf(bonded))).map((file) => file.path)).toEqual(['/etc/storage'])
  })
})

describe('rendering', () => {
  const everything = [
    '{{node.fqdn}} {{cluster}} {{root.kind}}',
    '{{#netdevs}}{{name}} {{type}} {{/netdevs}}',
    '{{#nodes}}{{name}}{{/nodes}}',
  ]

  it('twice gives the same bytes', async () => {
    const overlay = await overlayOf(
      'o',
      Object.fromEntries(everything.map((text, at) => [`files/${at}.mustache`, text])),
    )
    for (const node of cluster)
      expect(renderOverlays([overlay], buildView(inputOf(node)))).toEqual(
        renderOverlays([overlay], buildView(inputOf(node))),
      )
  })

  it('lists nodes no more often than a template reads them', async () => {
    const overlay = await overlayOf('o', { 'files/f.mustache': '{{node.name}} {{#netdevs}}{{name}}{{/netdevs}}' })
    const view = buildView({
      ...inputOf(plain),
      inputs: {
        ...inputsOf([]),
        nodes: () => {
          throw new Error('nobody asked')
        },
      },
    })
    expect(textOf(renderOverlays([overlay], view)[0])).toBe('n2 default')
  })
})
