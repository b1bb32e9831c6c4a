/**
 * Archives that want more than to be read. Each is refused with its reason and the name of its entry, or contained: then the
 * test says what the tree has. Files outside of the spool that the tricks aim at stay as they are.
 */
import { describe } from 'vitest'
import { bytes, member, pax, utf8 } from '../archive/tar-writer.ts'
import { above, contained, device, file, longName, outside, passwd, refused, relative } from './hostile-rig.ts'
import { dir, hard, link } from './layers-of.ts'

describe('a name that leads out of the tree is refused:', () => {
  refused('ARCHIVE_INVALID', [
    ['.. at the start', [[file('../etc/passwd')]], '../etc/passwd: its name has ".."'],
    ['.. in the middle', [[file('a/../../etc/passwd')]], 'a/../../etc/passwd'],
    ['.. many times', [[file(`a/b/${'../'.repeat(30)}etc/passwd`)]], '".."'],
    ['.. behind a slash', [[file('/../etc/passwd')]], '/../etc/passwd'],
    ['.. behind a dot', [[file('./../etc/passwd')]], './../etc/passwd'],
    ['.. at the end', [[dir('a/..')]], 'a/..'],
    ['.. alone', [[dir('..')]], '..: its name has'],
    ['.. in a PAX name', [[pax([['path', 'x/../y']]), file('z')]], 'x/../y'],
    ['.. in a GNU name', [[longName('x/../y'), file('z')]], 'x/../y'],
    ['.. in the prefix', [[{ name: 'passwd', prefix: '../etc' }]], '../etc/passwd'],
    ['.. in a global header', [[pax([['path', '../x']], 'g'), file('z')]], '../x'],
    [
      '.. in the name of a sparse file',
      [
        [
          pax([
            ['GNU.sparse.map', '0,1'],
            ['GNU.sparse.size', '1'],
            ['GNU.sparse.name', '../x'],
          ]),
          file('z', 'x'),
        ],
      ],
      '../x',
    ],
    ['.. in the name of a whiteout', [[file('a')], [file('../.wh.etc')]], '../.wh.etc'],
    ['.. in what AUFS keeps', [[file('.wh..wh.plnk/../../etc/passwd')]], '.wh..wh.plnk/../../etc/passwd'],
    ['NUL in a name', [[pax([['path', 'etc/passwd\0.txt']]), file('z')]], 'etc/passwd\\x00.txt: its name has NUL'],
    ['no name', [[member({ name: '' })]], '(no name)'],
  ])
})

describe('a name that only looks so is taken as it is:', () => {
  contained([
    [
      'an absolute name is one below the root',
      [[file('/etc/passwd')]],
      ['directory 755 0:0 1 etc', 'file 644 0:0 1 etc/passwd 0'],
    ],
    [
      'slashes and dots say nothing',
      [[file('.//.///etc/./passwd')]],
      ['directory 755 0:0 1 etc', 'file 644 0:0 1 etc/passwd 0'],
    ],
    [
      'the absolute name of a file that is there',
      [[pax([['path', passwd]]), file('x', 'mine')]],
      [...above(relative(passwd)), `file 644 0:0 1 ${relative(passwd)} 4`],
    ],
    ['backslashes', [[file('..\\..\\etc')]], ['file 644 0:0 1 ..\\..\\etc 0']],
    ['escapes of URLs', [[file('%2e%2e/x')]], ['directory 755 0:0 1 %2e%2e', 'file 644 0:0 1 %2e%2e/x 0']],
    [
      'overlong UTF-8',
      [[file('\xc0\xae\xc0\xae/x')]],
      ['directory 755 0:0 1 \xc0\xae\xc0\xae', 'file 644 0:0 1 \xc0\xae\xc0\xae/x 0'],
    ],
    ['three dots', [[file('.../x')]], ['directory 755 0:0 1 ...', 'file 644 0:0 1 .../x 0']],
    ['an end of line', [[file('a\nb')]], ['file 644 0:0 1 a\nb 0']],
    ['the end of a cpio archive', [[file('TRAILER!!!')]], ['file 644 0:0 1 TRAILER!!! 0']],
    [
      'names that some file systems take for one (CVE-2021-37712)',
      [[link(utf8('ß'), '/etc'), file('SS/x'), file('ss')]],
      ['directory 755 0:0 1 SS', 'file 644 0:0 1 SS/x 0', 'file 644 0:0 1 ss 0', `link 777 0:0 1 ${utf8('ß')} -> /etc`],
    ],
    [
      'a path as deep as the kernel takes',
      [[pax([['path', `${'a/'.repeat(2047)}b`]]), file('x')]],
      [...above(`${'a/'.repeat(2047)}b`), `file 644 0:0 1 ${'a/'.repeat(2047)}b 0`],
    ],
  ])
})

describe('links do not lead out:', () => {
  refused('ARCHIVE_INVALID', [
    [
      'a file below an absolute link (CVE-2021-32803)',
      [[link('a', outside), file('a/etc/passwd')]],
      'a/etc/passwd: it lies below the symbolic link a',
    ],
    ['a file below a link upwards', [[link('a', '../../..'), file('a/x')]], 'a/x: it lies below'],
    ['a file far below a link', [[link('a', '../..'), file('a/b/c/d')]], 'a/b/c/d'],
    ['a file below a link, spelled oddly', [[link('a', '/etc'), file('./a//./b')]], 'a/b'],
    ['a file below a link with a slash at its end', [[link('a/', '/etc'), file('a/b')]], 'a/b'],
    ['a chain of links (CVE-2026-23745)', [[link('a', 'b'), link('b', '/'), file('a/etc/passwd')]], 'a/etc/passwd'],
    ['a directory below a link', [[link('a', '/etc'), dir('a/cron.d')]], 'a/cron.d'],
    ['a link below a link', [[link('a', '..'), link('a/b', '..')]], 'a/b'],
    ['the root as a link (CVE-2021-29136)', [[link('.', '/etc'), file('passwd')]], '.: it stands for the root'],
    ['the root as a link, with slashes', [[link('././/', '/etc')]], 'it stands for the root'],
    ['the root as a file', [[file('.')]], 'it stands for the root'],
    [
      'a directory that becomes a link (CVE-2021-32803)',
      [[dir('a'), link('a', '/etc'), file('a/b')]],
      'a: the archive has it twice',
    ],
    ['a link that becomes a directory', [[link('a', '/etc'), dir('a'), file('a/b')]], 'a: the archive has it twice'],
    ['a made directory that becomes a link', [[file('a/b'), link('a', '/etc')]], 'a: '],
    ['a link that becomes a file (CVE-2018-20835)', [[link('a', passwd), file('a', 'mine')]], 'a: '],
    [
      'a hard link that becomes a file',
      [[link('l', passwd), hard('h', 'l'), file('h', 'mine')]],
      'h: the archive has it twice',
    ],
    ['a link to nothing', [[link('a', '')]], 'a: it links to nothing'],
    [
      'links that lead to each other',
      [[link('a', 'b'), link('b', 'a')], [file('a/x')]],
      'a/x: it lies below more than 40 symbolic links',
    ],
    [
      'a link of a lower layer to one of its own',
      [[link('a', 'b')], [link('b', '/etc'), file('a/x')]],
      'a/x: it lies below the symbolic link b',
    ],
    [
      'a link in place of a directory with something new in it',
      [[dir('a')], [file('a/x'), link('a', '/')]],
      'a: it is no directory',
    ],
  ])
  contained([
    [
      'below a link of a lower layer, a file is in the tree',
      [[link('a', outside)], [file('a/etc/passwd', 'mine')]],
      [
        `link 777 0:0 1 a -> ${outside}`,
        ...above(`${relative(outside)}/etc/passwd`),
        `file 644 0:0 1 ${relative(outside)}/etc/passwd 4`,
      ],
    ],
    [
      'a link of a lower layer leads no higher than the root',
      [[dir('d'), link('d/up', '../../../../../..')], [file('d/up/etc/passwd', 'mine')]],
      [
        'directory 755 0:0 1 d',
        'link 777 0:0 1 d/up -> ../../../../../..',
        'directory 755 0:0 1 etc',
        'file 644 0:0 1 etc/passwd 4',
      ],
    ],
    [
      'links may point anywhere',
      [[link('a', passwd), link('b', '../../..'), link('c', 'c'), hard('d', 'a')]],
      [
        `link 777 0:0 2 a -> ${passwd}`,
        'link 777 0:0 1 b -> ../../..',
        'link 777 0:0 1 c -> c',
        `link 777 0:0 2 d -> ${passwd}`,
      ],
    ],
  ])
})

describe('hard links are of files of the tree:', () => {
  refused('ARCHIVE_INVALID', [
    ['to an absolute path', [[hard('a', passwd)]], 'a: it is a hard link to'],
    ['out of the tree', [[hard('a', `../../../../..${passwd}`)]], 'a: the target of its hard link has ".."'],
    [
      'through a link (CVE-2026-26960)',
      [[dir('d'), file('d/f'), link('l', 'd'), hard('a', 'l/f')]],
      'a: it is a hard link through the symbolic link l',
    ],
    [
      'through a link of a lower layer that leads out',
      [[link('l', outside)], [hard('a', 'l/etc/passwd')]],
      'which does not come before it',
    ],
    ['to a directory', [[dir('d'), hard('a', 'd')]], 'a: it is a hard link to the directory d'],
    ['to the root', [[hard('a', './')]], 'a: it is a hard link to the directory'],
    ['to itself', [[hard('a', 'a')]], 'a: it is a hard link to a, which does not come before it'],
    [
      'to itself, which a lower layer has',
      [[file('a')], [hard('a', 'a')]],
      'a: it is a hard link to a, which does not come before it',
    ],
    ['to what comes later', [[hard('a', 'b'), file('b')]], 'a: it is a hard link to b, which does not come before it'],
    ['to nothing', [[hard('a', '')]], 'a: it links to nothing'],
    [
      'to a whiteout',
      [[file('x')], [file('.wh.x'), hard('a', '.wh.x')]],
      'a: it is a hard link to .wh.x, which does not',
    ],
    [
      'to what its layer hides',
      [[file('x')], [hard('a', 'x'), file('.wh.x')]],
      'a: it is a hard link to x, which does not',
    ],
    ['in place of a file of its layer', [[file('a'), file('b'), hard('b', 'a')]], 'b: the archive has it twice'],
    ['over the root', [[file('a'), hard('.', 'a')]], 'it stands for the root'],
  ])
})

describe('what is no directory has nothing in it:', () => {
  refused('ARCHIVE_INVALID', [
    ['a file', [[file('a'), file('a/b')]], 'a/b: it lies below a, which is no directory'],
    ['a file of a lower layer', [[file('a')], [file('a/b')]], 'a/b: it lies below a, which is no directory'],
    ['a device', [[device('a', 1, 3), file('a/b')]], 'a/b: it lies below a, which is no directory'],
    ['a pipe', [[{ name: 'a', flag: '6' }, file('a/b')]], 'a/b: it lies below a, which is no directory'],
    ['a hard link', [[file('a'), hard('h', 'a'), file('h/b')]], 'h/b: it lies below h, which is no directory'],
    [
      'a socket',
      [[pax([['SCHILY.filetype', 'socket']]), file('s'), file('s/b')]],
      's/b: it lies below s, which is no directory',
    ],
  ])
})

describe('devices are inodes and nothing else:', () => {
  contained([
    ['a disk', [[{ ...device('dev/sda', 8), flag: '4' }]], ['directory 755 0:0 1 dev', 'block 644 0:0 1 dev/sda']],
    ['a number as large as the header has room for', [[device('d', 0o7777777, 0o7777777)]], ['character 644 0:0 1 d']],
    ['0:0 in a layer whose whiteouts are names', [[file('a')], [device('a')]], ['character 644 0:0 1 a']],
    [
      'one that says it has data',
      [[{ ...device('d', 1, 3), size: 4096 }, file('e')]],
      ['character 644 0:0 1 d', 'file 644 0:0 1 e 0'],
    ],
  ])
  refused('ARCHIVE_INVALID', [
    [
      'a number that is text',
      [[{ name: 'd', flag: '3', raw: { 329: bytes('monkeys\0') } }]],
      'd: its header has no device number',
    ],
    ['a type that is none', [[{ name: 'd', flag: 'Q' }]], 'd: its type "Q" is none'],
    ['a part of another volume', [[{ name: 'd', flag: 'M' }]], 'd: its type "M" is none'],
  ])
})

describe('duplicates in one layer are refused:', () => {
  refused('ARCHIVE_INVALID', [
    ['a file', [[file('a'), file('a', 'other')]], 'a: the archive has it twice'],
    ['a file, spelled differently', [[file('a/b'), file('/a//./b')]], 'a/b: the archive has it twice'],
    ['a file, once by PAX', [[file('a'), pax([['path', 'a']]), file('z')]], 'a: the archive has it twice'],
    [
      'a directory with another mode',
      [[dir('a'), dir('a', { mode: 0o777 })]],
      'a: the archive has this directory twice',
    ],
    ['the root with another mode', [[dir('./'), dir('.', { mode: 0o777 })]], '.: the archive has this directory twice'],
    [
      'by way of a link of a lower layer',
      [
        [dir('d'), link('l', 'd')],
        [file('d/f'), file('l/f')],
      ],
      'l/f: the archive has it twice',
    ],
  ])
})

describe('whiteouts that make no sense are refused:', () => {
  refused('ARCHIVE_INVALID', [
    ['of no name', [[file('a')], [file('.wh.')]], '.wh.: it is a whiteout of no name'],
    ['of .', [[file('a')], [file('.wh..')]], '.wh..: it is a whiteout of no name'],
    ['of ..', [[file('a')], [file('.wh...')]], '.wh...: it is a whiteout of no name'],
    ['of .. further down', [[file('d/a')], [file('d/.wh...')]], 'd/.wh...: it is a whiteout of no name'],
    ['with something below', [[file('a')], [file('.wh.a/b')]], '.wh.a/b: it lies below a whiteout'],
    [
      'of a mount that kept references',
      [[pax([['SCHILY.xattr.trusted.overlay.redirect', '/etc']]), dir('d')]],
      'd: overlayfs kept only a reference',
      { whiteouts: 'overlayfs' },
    ],
  ])
})

describe('whiteouts hide nothing but what lower layers have:', () => {
  contained([
    [
      'of the root',
      [
        [dir('.'), file('a'), file('d/b')],
        [file('.wh..wh..opq'), file('new')],
      ],
      ['file 644 0:0 1 new 0'],
    ],
    ['an opaque file stays', [[file('a', 'x')], [file('a/.wh..wh..opq')]], ['file 644 0:0 1 a 1']],
    ['a device 0:0 over the root is none of it', [[file('a')], [device('a')]], [], { whiteouts: 'overlayfs' }],
    [
      'through a link that leads out',
      [
        [link('l', outside), link('m', '../../../../etc')],
        [file('l/.wh.etc'), file('l/etc/.wh..wh..opq'), file('m/.wh.passwd')],
      ],
      [`link 777 0:0 1 l -> ${outside}`, 'link 777 0:0 1 m -> ../../../../etc'],
    ],
  ])
})
