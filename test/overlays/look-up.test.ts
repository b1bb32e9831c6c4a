import { describe, expect, it } from 'vitest'
import { renderOverlays } from '../../src/overlays/layers.ts'
import { buildView } from '../../src/overlays/view.ts'
import { type Given, inputOf, overlayOf, plain, textOf } from './fixtures.ts'

const image = { '/etc/os-release': 'ID=rocky\n', '/etc/rocky.conf': '{{node.name}}', '/x': 'x' }
const head = { motd: 'welcome\n', 'site/banner': 'site' }

async function render(template: string, given: Given = { image, head }): Promise<string> {
  const overlay = await overlayOf('o', { 'files/etc/f.mustache': template })
  return textOf(
    renderOverlays([overlay], buildView(inputOf({ ...plain, settings: { tags: { os: 'rocky' } } }, [], given)))[0],
  )
}

const fault = (template: string, given?: Given) =>
  render(template, given).then(
    (text) => `rendered: ${text}`,
    (error) => `${error.code}: ${error.message}`,
  )

describe('a look-up', () => {
  it.each([
    ['stands for a file of the image', '<{{#image.file}}/etc/os-release{{/image.file}}>', '<ID=rocky\n>'],
    ['stands for a file of the head node', '{{#head.file}}motd{{/head.file}}', 'welcome\n'],
    ['takes a path on the head node with a slash in front', '{{#head.file}}/site/banner{{/head.file}}', 'site'],
    ['takes blanks and lines around the path', '{{#image.file}}\n  /x\n{{/image.file}}', 'x'],
    ['does not render what is in the file', '{{#image.file}}/etc/rocky.conf{{/image.file}}', '{{node.name}}'],
    ['renders what is between its tags', '{{#image.file}}/etc/{{tags.os}}.conf{{/image.file}}', '{{node.name}}'],
    [
      'can be in a section and have sections',
      '{{#tags.os}}{{#image.file}}/{{#.}}x{{/.}}{{/image.file}}{{/tags.os}}',
      'x',
    ],
    ['can be inside another', '{{#image.file}}/{{#image.file}}/x{{/image.file}}{{/image.file}}', 'x'],
  ])('%s', async (_what, template, text) => {
    expect(await render(template)).toBe(text)
  })

  it.each([
    [
      'no file',
      '\n{{#image.file}}/etc/none{{/image.file}}',
      "image.file in o:/etc/f line 2: there is no file /etc/none in the node's image",
    ],
    [
      'no file on the head node',
      '{{#head.file}}none{{/head.file}}',
      'there is no file none in the folder for templates on the head node (MUSTER_FILES)',
    ],
    [
      'a relative path in the image',
      '{{#image.file}}etc/os-release{{/image.file}}',
      '"etc/os-release" is not absolute',
    ],
    ['no path', '{{#head.file}} {{/head.file}}', '"" is no path'],
    ['a path that climbs', '{{#head.file}}../registry.db{{/head.file}}', '"../registry.db" has . or .. in it'],
    ['a path that climbs in the middle', '{{#image.file}}/etc/../etc/shadow{{/image.file}}', 'has . or .. in it'],
    ['an absolute path that climbs', '{{#head.file}}/../x{{/head.file}}', 'has . or .. in it'],
    ['a path with an empty part', '{{#head.file}}//etc/shadow{{/head.file}}', 'has an empty part'],
    ['a path with a control character', '{{#head.file}}a\u0001b{{/head.file}}', 'has a control character in it'],
    [
      'an unknown name in the path',
      '{{#image.file}}/{{tags.oss}}{{/image.file}}',
      'unknown name tags.oss in o:/etc/f line 1; did you mean tags.os?',
    ],
    ['a variable', '{{image.file}}', 'image.file in o:/etc/f line 1 must stand around a path'],
    ['an inverted section', '{{^head.file}}x{{/head.file}}', 'head.file in o:/etc/f line 1 must stand around a path'],
    ['its opposite in a section of the map', '{{#image}}{{file}}{{/image}}', 'unknown name file'],
  ])('is refused for %s', async (_what, template, message) => {
    const answer = await fault(template)
    expect(answer).toMatch(/^TEMPLATE_INVALID: /)
    expect(answer).toContain(message)
  })

  it('is refused for a file that is no text', async () => {
    const overlay = await overlayOf('o', { 'files/f.mustache': '{{#image.file}}/bin{{/image.file}}' })
    const input = inputOf(plain)
    const inputs = { ...input.inputs, imageFile: () => Uint8Array.of(0xff, 0xfe) }
    expect(() => renderOverlays([overlay], buildView({ ...input, inputs }))).toThrow(/\/bin is not UTF-8 text/)
  })

  it('has no files where there is only data', async () => {
    const overlay = await overlayOf('o', { 'files/f.mustache': '{{#image.file}}/x{{/image.file}}' })
    expect(() => renderOverlays([overlay], { image: { file: 'no' } })).toThrow(/there are no files here/)
  })

  it('counts what it includes against the most that a file may be', async () => {
    const overlay = await overlayOf('o', { 'files/f.mustache': '{{#nodes}}{{#image.file}}/x{{/image.file}}{{/nodes}}' })
    const nodes = Array.from({ length: 20 }, (_, at) => ({ name: `n${at}`, settings: {} }))
    const input = inputOf(plain, nodes, { image: { '/x': 'x'.repeat(1024 * 1024) } })
    expect(() => renderOverlays([overlay], buildView(input))).toThrow(/makes more than 16777216 characters/)
  })
})
