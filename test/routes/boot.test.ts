/** The boot routes of the app on a head node's databases. */
import { createApp } from '../../src/app.ts'
import { testServices, url } from '../boot-plan/fixtures.ts'
import { bootRouteSuite } from './boot.suite.ts'

bootRouteSuite('head node', async () => {
  const { services, close, ...seeds } = await testServices()
  const app = createApp(services)
  return { ...seeds, url, close, request: async (path, init) => app.request(path, init) }
})
