/** `/api/discovered`: machines that asked for a boot script and are no node, and how one of them becomes one. */
import { createRoute, z } from '@hono/zod-openapi'
import { deleteMachines, findMachine, listMachines, type Machine } from '../activity/machines.ts'
import { readMac } from '../boot/machine.ts'
import { AppError } from '../errors.ts'
import { type MemberInput, parseMember } from '../registry/members.ts'
import { changeNodes } from '../registry/nodes.ts'
import { nameSchema, nodeNameSchema, type Settings, settingsSchema } from '../registry/settings.ts'
import type { Services } from '../services.ts'
import { apiRoutes } from './api-routes.ts'
import { editorOf, editQuery } from './editor.ts'
import { etagOf } from './etag.ts'
import { json, jsonRequest, memberBody, memberSchema, refusals, time } from './schemas.ts'

const machineSchema = z
  .object({
    mac: z.string(),
    facts: z
      .record(z.string(), z.string())
      .openapi({ description: 'What iPXE said of it', example: { arch: 'x86_64' } }),
    address: z.string().nullable(),
    firstSeenAt: time,
    lastSeenAt: time,
    requests: z.int().openapi({ description: 'How often it was noted that it asked: every ten seconds at most' }),
  })
  .openapi('Machine')

const params = z.object({ mac: z.string().max(64) })

const list = createRoute({
  method: 'get',
  path: '/',
  summary: 'List machines that nobody knows, the one seen last first',
  responses: { 200: json(z.array(machineSchema), 'Machines') },
})

const approve = createRoute({
  method: 'post',
  path: '/{mac}/approve',
  summary: 'Make a machine a node',
  description:
    "The node gets the machine's MAC, and its UUID and serial unless the settings say otherwise. The machine leaves the list.",
  request: {
    params,
    query: editQuery,
    body: jsonRequest(
      z.strictObject({
        name: nodeNameSchema,
        profiles: z.array(nameSchema).max(64).optional(),
        settings: settingsSchema.optional(),
        netdev: z
          .string()
          .min(1)
          .max(64)
          .optional()
          .openapi({ description: 'Which netdev gets the MAC', example: 'default' }),
      }),
      'The node to be',
    ),
  },
  responses: {
    201: json(memberSchema, 'The node, created'),
    ...refusals('SETTINGS_INVALID', 'MACHINE_UNKNOWN', 'PROFILE_UNKNOWN', 'NODE_EXISTS', 'MAC_TAKEN', 'ADDRESS_TAKEN'),
  },
})

const forget = createRoute({
  method: 'delete',
  path: '/{mac}',
  summary: 'Take a machine off the list; it comes back when it asks again',
  request: { params, query: editQuery },
  responses: { 204: { description: 'It is gone' }, ...refusals('MACHINE_UNKNOWN') },
})

/** Mounted at `/api/discovered`. */
export const discoveredRoutes = (services: Services) => {
  const { registry, activity, journal } = services

  /** The machine with a MAC in any spelling. What was recorded a moment ago counts. Throws `MACHINE_UNKNOWN`. */
  async function machineOf(text: string): Promise<Machine> {
    const mac = readMac(text)
    await journal.flush().catch(() => undefined)
    const machine = mac === undefined ? undefined : await findMachine(activity, mac)
    if (!machine) throw new AppError('MACHINE_UNKNOWN', `no machine ${text} has asked for a boot script of late`)
    return machine
  }

  return apiRoutes()
    .openapi(list, async (c) => {
      await journal.flush().catch(() => undefined)
      return c.json((await listMachines(activity)).map(machineBody), 200)
    })
    .openapi(approve, async (c) => {
      const machine = await machineOf(c.req.valid('param').mac)
      const { name, profiles = [], settings = {}, netdev = 'default' } = c.req.valid('json')
      const input = approved(machine, { profiles, settings }, netdev)
      const { revision, result } = await changeNodes(
        registry,
        editorOf(c, services),
        async () => [name],
        (_name, before) => {
          if (before) throw new AppError('NODE_EXISTS', `there is a node ${name} already`, { field: 'name' })
          return input
        },
      )
      const [node] = result
      if (!node) throw new Error(`node ${name} was not made`)
      await deleteMachines(activity, [machine.mac])
      c.header('X-Revision', String(revision))
      c.header('ETag', etagOf(node.revision))
      return c.json(memberBody(node), 201)
    })
    .openapi(forget, async (c) => {
      const { mac } = await machineOf(c.req.valid('param').mac)
      await deleteMachines(activity, [mac])
      return c.body(null, 204)
    })
}

/**
 * The node that a machine becomes. A fact that is no valid setting is left out: firmware says `To be filled by O.E.M.` and
 * worse. Throws `SETTINGS_INVALID` for a netdev that has another MAC.
 */
function approved(machine: Machine, { profiles, settings }: MemberInput, netdev: string): MemberInput {
  const own = settings.netdevs?.[netdev]
  if (own?.mac && own.mac !== machine.mac)
    throw new AppError('SETTINGS_INVALID', `netdev ${netdev} has the MAC ${own.mac}, and the machine ${machine.mac}`, {
      field: `settings.netdevs.${netdev}.mac`,
    })
  const facts: Settings = {}
  for (const field of ['uuid', 'serial'] as const) {
    const value = machine.facts[field]
    if (value && settingsSchema.safeParse({ [field]: value }).success) facts[field] = value
  }
  return parseMember({
    profiles,
    settings: {
      ...facts,
      ...settings,
      netdevs: { ...settings.netdevs, [netdev]: { ...own, mac: machine.mac } },
    },
  })
}

const machineBody = ({ mac, facts, address, firstSeenAt, lastSeenAt, requests }: Machine) => ({
  mac,
  facts,
  address,
  firstSeenAt: firstSeenAt.toISOString(),
  lastSeenAt: lastSeenAt.toISOString(),
  requests,
})
