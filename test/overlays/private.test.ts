import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { renderOverlays } from '../../src/overlays/layers.ts'
import { renderMemory } from '../../src/overlays/memory.ts'
import { buildView } from '../../src/overlays/view.ts'
import { type Given, inputOf, overlayOf, printed, textOf } from './fixtures.ts'

const node = { name: 'n1', settings: { bmc: { user: 'admin', password: 'secret:bmc' }, tags: { a: 'x' } } }
const given: Given = { secrets: { bmc: 'SECRET-1', munge: 'SECRET-2', munge_pub: 'PUBLIC' } }
const view = () => buildView(inputOf(node, [node], given))

/** An overlay whose only entry has this template; whether it is private is said by the test and not found out by the parser. */
async function entry(template: string, isPrivate: boolean, more: { when?: string; each?: string } = {}) {
  const overlay = await overlayOf('o', {
    'overlay.yaml': 'files: { /f: { private: true } }',
    'files/f.mustache': template,
  })
  const [layer] = overlay.layers
  const entries = layer!.manifest.entries.map(({ private: _private, ...rest }) => ({
    ...rest,
    ...more,
    ...(isPrivate && { private: true as const }),
  }))
  return { ...overlay, layers: [{ ...layer!, manifest: { ...layer!.manifest, entries } }] }
}

describe('secrets', () => {
  it.each([
    ['a secret', '{{secrets.munge}}', 'SECRET-2'],
    ['a public half', '{{secrets.munge_pub}}', 'PUBLIC'],
    ['one in a section', '{{#secrets}}{{munge}}{{/secrets}}', 'SECRET-2'],
    ['the password of the BMC', '{{bmc.password}}', 'SECRET-1'],
    ['the password in a section', '{{#bmc}}{{user}} {{#password}}{{password}}{{/password}}{{/bmc}}', 'admin SECRET-1'],
  ])('are for private files: %s', async (_what, template, text) => {
    const [file] = renderOverlays([await entry(template, true)], view())
    expect(file).toMatchObject({ private: true })
    expect(textOf(file)).toBe(text)
    const open = await entry(template, false)
    expect(() => renderOverlays([open], view())).toThrow(
      expect.objectContaining({
        code: 'TEMPLATE_INVALID',
        message: expect.stringMatching(
          /^o:\/f reads (?:secrets|bmc\.password), which only a private file may: give it private: true/,
        ),
      }),
    )
  })

  it.each([
    ['the existence of one', '{{#secrets.munge}}there{{/secrets.munge}}'],
    ['the absence of one', '{{^secrets.nothing}}absent{{/secrets.nothing}}'],
    ['the view on top of itself', '{{#.}}{{secrets.munge}}{{/.}}'],
    ['a misspelt one', '{{secrets.mung}}'],
  ])('do not tell others even %s', async (_what, template) => {
    const open = await entry(template, false)
    expect(() => renderOverlays([open], view())).toThrow(/which only a private file may/)
  })

  it('are refused in when and each as well', async () => {
    for (const more of [{ when: 'secrets.munge' }, { each: 'secrets' }, { when: 'bmc.password' }]) {
      const open = await entry('x', false, more)
      expect(() => renderOverlays([open], view())).toThrow(/which only a private file may/)
    }
  })

  it('name the nearest that the node has when one is missing', async () => {
    const overlay = await entry('{{secrets.mnge}}', true)
    expect(() => renderOverlays([overlay], view())).toThrow(
      'unknown name secrets.mnge in o:/f line 1; did you mean secrets.munge?',
    )
  })

  it('have a password without a text say what to do', async () => {
    const overlay = await entry('{{bmc.password}}', true)
    expect(() => renderOverlays([overlay], buildView(inputOf(node)))).toThrow(
      'bmc.password has no value in o:/f line 1; put {{bmc.password}} between {{#bmc.password}} and {{/bmc.password}}',
    )
  })

  it('are in no message about a look-up or a link that they spoil', async () => {
    const files = { image: { '/SECRET-2': '' }, head: {}, ...given }
    const messageOf = (overlay: Parameters<typeof renderOverlays>[0][number]) => {
      try {
        renderOverlays([overlay], buildView(inputOf(node, [node], files)))
      } catch (error) {
        return String(error)
      }
      throw new Error('it was rendered')
    }
    for (const inner of [
      '/{{secrets.munge}}x',
      '{{secrets.munge}}',
      '{{#bmc}}{{password}}{{/bmc}}',
      '{{#secrets}}/{{munge}}x{{/secrets}}',
    ])
      for (const name of ['image.file', 'head.file']) {
        const message = messageOf(await entry(`{{#${name}}}${inner}{{/${name}}}`, true))
        expect(message).toContain('what is between the tags (not told, because the file reads secrets)')
        expect(message).not.toContain('SECRET')
      }
    expect(messageOf(await entry('{{#head.file}}keys/{{tags.a}}{{/head.file}}', true))).toContain('no file keys/x in')
    const long = { ...inputOf(node, [node], { secrets: { long: 'SECRET'.repeat(1000) } }) }
    const link = await overlayOf('o', { 'overlay.yaml': 'files: { /l: { link: "{{secrets.long}}" } }' })
    expect(() => renderOverlays([link], buildView(long))).toThrow(
      'o:/l (its target) is a text (private), to which no link can point',
    )
  })

  it('do not come to a file that is not private by way of one that is', async () => {
    const memory = renderMemory()
    for (const template of ['{{secrets.munge}}', '{{#bmc}}{{password}}{{/bmc}}', '{{#secrets}}{{munge}}{{/secrets}}']) {
      const one = view()
      renderOverlays([await entry(template, true)], one, memory)
      const open = await entry(template, false)
      expect(() => renderOverlays([open], one, memory)).toThrow(/which only a private file may/)
      expect(() => renderOverlays([open], view(), memory)).toThrow(/which only a private file may/)
    }
  })

  it('are in no text about the view', async () => {
    const [file] = renderOverlays([await overlayOf('o', { 'files/f.mustache': '{{view}}' })], view())
    const text = textOf(file)
    expect(JSON.parse(text)).toMatchObject({ bmc: { user: 'admin' }, nodes: 1, settings: { bmc: { user: 'admin' } } })
    expect(text).not.toMatch(/SECRET|password|"secrets"/)
  })

  it('are in no file that is not private, whatever its template', async () => {
    const names = [
      'secrets',
      'bmc',
      'password',
      'munge',
      'view',
      '.',
      'secrets.munge',
      'bmc.password',
      'settings.bmc',
      'settings',
      'tags',
      'nodes',
      'node',
    ]
    const piece = fc.oneof(
      fc.constantFrom(...names).map((name) => `{{${name}}}`),
      fc.constantFrom('x', '\n'),
    )
    const { template } = fc.letrec<{ template: string }>((tie) => ({
      template: fc.oneof(
        { maxDepth: 4 },
        piece,
        fc.tuple(tie('template'), tie('template')).map((two) => two.join('')),
        fc
          .tuple(fc.constantFrom('#', '^'), fc.constantFrom(...names), tie('template'))
          .map(([sign, name, inner]) => `{{${sign}${name}}}${inner}{{/${name}}}`),
      ),
    }))
    let rendered = 0
    await fc.assert(
      fc.asyncProperty(template, async (text) => {
        const open = await entry(text, false)
        let answer: string
        try {
          answer = printed(renderOverlays([open], view()))
          rendered++
        } catch (error) {
          expect(error).toMatchObject({ code: 'TEMPLATE_INVALID' })
          answer = String(error)
        }
        expect(answer).not.toMatch(/SECRET|PUBLIC/)
      }),
      { numRuns: 1500 },
    )
    expect(rendered).toBeGreaterThan(100)
  })
})

describe('what is private', () => {
  it('and what to reload is told of each file that an entry makes', async () => {
    const overlay = await overlayOf('o', {
      'overlay.yaml': 'files: { "/etc/{{name}}": { each: l, private: true, reload: x.service } }',
      'files/etc/{{name}}': 'x',
    })
    expect(renderOverlays([overlay], { l: [{ name: 'a' }, { name: 'b' }] })).toMatchObject([
      { path: '/etc/a', private: true, mode: 0o600, reload: [{ unit: 'x.service' }] },
      { path: '/etc/b', private: true, reload: [{ unit: 'x.service' }] },
    ])
  })

  it('is known to templates', async () => {
    const overlay = await overlayOf('o', { 'files/f.mustache': 'private={{private}}' })
    for (const value of [true, false])
      expect(textOf(renderOverlays([overlay], buildView({ ...inputOf(node), private: value }))[0])).toBe(
        `private=${value}`,
      )
  })
})

describe('removals and links', () => {
  const yaml = [
    'files:',
    '  /etc/motd.d/cockpit: { remove: true, when: tags.a }',
    '  /etc/localtime: { link: "../usr/share/zoneinfo/{{zone}}", when: zone }',
    '  /etc/fixed: { link: target }',
  ].join('\n')

  it('are there when they say so', async () => {
    const overlay = await overlayOf('o', { 'overlay.yaml': yaml })
    expect(renderOverlays([overlay], { tags: { a: 'x' }, zone: 'Asia/Tokyo' })).toMatchObject([
      { path: '/etc/fixed', type: 'link', target: 'target' },
      { path: '/etc/localtime', type: 'link', target: '../usr/share/zoneinfo/Asia/Tokyo' },
      { path: '/etc/motd.d/cockpit', type: 'removal' },
    ])
    expect(renderOverlays([overlay], { tags: {} }).map(({ path }) => path)).toEqual(['/etc/fixed'])
  })

  it('count like files: of two for one path the later one holds', async () => {
    const removal = await overlayOf('a', { 'overlay.yaml': 'files: { /etc/motd: { remove: true } }' })
    const file = await overlayOf('b', { 'files/etc/motd': 'hello' })
    expect(renderOverlays([removal, file], {})).toMatchObject([{ type: 'file', overlay: 'b' }])
    expect(renderOverlays([file, removal], {})).toMatchObject([{ type: 'removal', overlay: 'a' }])
  })

  it('are refused above what another overlay ships', async () => {
    const removal = await overlayOf('a', { 'overlay.yaml': 'files: { /etc/yum.repos.d: { remove: true } }' })
    const file = await overlayOf('b', { 'files/etc/yum.repos.d/site.repo': '' })
    expect(() => renderOverlays([removal, file], {})).toThrow(
      'overlay b: /etc/yum.repos.d/site.repo lies below /etc/yum.repos.d, which overlay a takes away',
    )
  })
})
