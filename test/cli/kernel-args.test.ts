import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { splitKernelArgs } from '../../src/cli/kernel-args.ts'
import { settingsSchema } from '../../src/registry/settings.ts'

describe('splitKernelArgs', () => {
  it.each([
    ['words', 'quiet  console=ttyS0,115200\tro', ['quiet', 'console=ttyS0,115200', 'ro']],
    ['a quoted value', 'dyndbg="file drivers/net/* +p" quiet', ['dyndbg="file drivers/net/* +p"', 'quiet']],
    ['a quoted argument', '"dyndbg=file a +p"', ['"dyndbg=file a +p"']],
    ['an argument to take out', '~quiet rd.debug', ['~quiet', 'rd.debug']],
    ['a backslash, which means nothing here', 'a\\ b', ['a\\', 'b']],
    ['nothing', '  ', []],
  ])('splits %s', (_name, line, args) => {
    expect(splitKernelArgs(line)).toEqual(args)
  })

  it('knows a quote that is never closed', () => {
    expect(splitKernelArgs('quiet a="b c')).toBeUndefined()
  })

  it('gives back the arguments that a line was joined from, each one that the API takes', () => {
    const piece = fc.oneof(
      fc.stringMatching(/^[a-z0-9=.,:_-]{1,6}$/),
      fc.stringMatching(/^[a-z0-9 =.,]{0,8}$/).map((text) => `"${text}"`),
    )
    const argument = fc.array(piece, { minLength: 1, maxLength: 4 }).map((pieces) => pieces.join(''))
    const gap = fc.constantFrom(' ', '  ', '\t')
    fc.assert(
      fc.property(fc.array(argument, { maxLength: 8 }), gap, (args, between) => {
        expect(splitKernelArgs(`${between}${args.join(between)}`)).toEqual(args)
        expect(settingsSchema.safeParse({ kernel: { args } }).success).toBe(true)
      }),
    )
  })
})
