import fc from 'fast-check'
import { expect, test } from 'vitest'
import { parseOsRelease } from '../../src/images/os-release.ts'

test.each([
  [
    'Rocky',
    'NAME="Rocky Linux"\nVERSION="9.6 (Blue Onyx)"\nID="rocky"\nID_LIKE="rhel centos fedora"\nVERSION_ID="9.6"\nPRETTY_NAME="Rocky Linux 9.6 (Blue Onyx)"\n',
    { id: 'rocky', version: '9.6', name: 'Rocky Linux 9.6 (Blue Onyx)' },
  ],
  [
    'Debian testing, without a version',
    'PRETTY_NAME="Debian GNU/Linux forky/sid"\nID=debian\n',
    { id: 'debian', name: 'Debian GNU/Linux forky/sid' },
  ],
  ['nothing', '', { id: 'linux', name: 'Linux' }],
  ['single quotes and escapes', `ID='a\\"b'\nPRETTY_NAME="\\$5 \\"q\\" \\\\"`, { id: 'a\\"b', name: '$5 "q" \\' }],
  ['what a shell would run, as text', 'ID=$(reboot)\nPRETTY_NAME="`id`"', { id: '$(reboot)', name: '`id`' }],
  ['comments and noise', '# ID=no\n ID=yes \r\nexport ID=no\nlower=no\n=no\n', { id: 'yes', name: 'Linux' }],
  ['the last of two', 'ID=a\nID=b', { id: 'b', name: 'Linux' }],
  ['control characters', 'ID="a\x1b[31mb"', { id: 'a [31mb', name: 'Linux' }],
])('reads os-release: %s', (_, text, expected) => {
  expect(parseOsRelease(text)).toEqual(expected)
})

test('anything is read, to one short line', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 100 }), (text) => {
      const { id, name } = parseOsRelease(`ID=${text}\nPRETTY_NAME="${text}"`)
      expect(id + name).not.toMatch(/[\n\0]/)
      expect(name.length).toBeLessThanOrEqual(200)
    }),
  )
})
