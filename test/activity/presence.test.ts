import { expect, it } from 'vitest'
import { createPresence } from '../../src/activity/presence.ts'

it('knows the attempt last seen at an address', () => {
  const presence = createPresence(10)
  expect(presence.attemptOf('10.0.0.1')).toBeUndefined()
  presence.seen('10.0.0.1', 'a')
  presence.seen('10.0.0.2', 'b')
  presence.seen('10.0.0.1', 'c')
  expect([presence.attemptOf('10.0.0.1'), presence.attemptOf('10.0.0.2')]).toEqual(['c', 'b'])
})

it('forgets the address whose script is oldest when there are too many', () => {
  const presence = createPresence(2)
  presence.seen('10.0.0.1', 'a')
  presence.seen('10.0.0.2', 'b')
  presence.seen('10.0.0.1', 'c')
  presence.seen('10.0.0.3', 'd')
  expect(['10.0.0.1', '10.0.0.2', '10.0.0.3'].map(presence.attemptOf)).toEqual(['c', undefined, 'd'])
})
