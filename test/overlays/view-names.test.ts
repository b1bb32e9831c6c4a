import { describe, expect, it } from 'vitest'
import { namesIn } from '../../src/overlays/scope.ts'
import { buildView } from '../../src/overlays/view.ts'
import { everyName, viewShape } from '../../src/overlays/view-names.ts'
import { bonded, inputOf } from './fixtures.ts'

/** Look-ups are no names of the view itself: templates call them. */
const lookUps = ['file']

describe('the names that lint knows', () => {
  const view = buildView(inputOf(bonded))

  it('are those that a view has', () => {
    expect(Object.keys(viewShape).sort()).toEqual(namesIn(view).sort())
  })

  it.each(['node', 'head', 'image', 'kernel', 'root', 'dns', 'primary', 'network', 'mig'] as const)(
    'are those of %s',
    (name) => {
      const shape = viewShape[name]
      const known = typeof shape === 'object' ? Object.keys(shape).filter((one) => !lookUps.includes(one)) : []
      expect(known.sort()).toEqual(namesIn(view[name]).sort())
    },
  )

  it('reach into what lies deeper', () => {
    expect(everyName).toContain('memberDevices')
  })
})
