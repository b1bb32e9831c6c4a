/** `/api/boot/:node`: what a node would boot, why, with which script, and how its boots went. Looking opens no attempt. */
import { createRoute, z } from '@hono/zod-openapi'
import { type Attempt, type AttemptEvent, listAttempts } from '../activity/attempts.ts'
import { type OverlayArchives, overlayArchives } from '../boot/archives.ts'
import { explainBoot } from '../boot/explain.ts'
import { outcomeOf, outcomes } from '../boot/outcome.ts'
import { planBoot } from '../boot/plan.ts'
import { rootIfMade } from '../boot/root.ts'
import { fillScript } from '../boot/script.ts'
import { bootScripts } from '../boot/scripts.ts'
import { overlaySource } from '../overlays/store.ts'
import type { StoredMember } from '../registry/members.ts'
import { getNode } from '../registry/nodes.ts'
import { jsonValue } from '../registry/settings.ts'
import { createSnapshots } from '../registry/snapshot.ts'
import type { Services } from '../services.ts'
import { apiRoutes } from './api-routes.ts'
import { nodeClientSchema, nodeClients } from './node-client.ts'
import { wholeNumber } from './page.ts'
import { explanationSchema, json, refusals, time } from './schemas.ts'

const digest = z.string().openapi({ example: `sha256:${'0'.repeat(64)}` })
const sized = z.object({ digest, size: z.int().openapi({ description: 'bytes' }) })
const plannedOverlay = z.object({ name: z.string(), version: z.int().optional(), digest })

const planSchema = z
  .object({
    node: z.string(),
    revision: z.int(),
    image: z.object({ name: z.string(), version: z.int(), digest, architecture: z.string() }),
    kernel: sized.extend({ version: z.string(), path: z.string() }),
    root: z.object({ mode: z.enum(['initramfs', 'tmpfs']), limit: z.string().optional() }),
    overlays: z.object({ system: z.array(plannedOverlay), runtime: z.array(plannedOverlay) }),
    args: z.array(z.string()),
    init: z.string(),
    script: z.string(),
    onFailure: z.enum(['retry', 'reboot', 'shell']),
    warnings: z.array(z.string()),
  })
  .openapi('BootPlan')

const attemptSchema = z
  .object({
    id: z.string(),
    startedAt: time,
    mac: z.string(),
    plan: jsonValue(),
    outcome: z.enum(outcomes),
    events: z.array(z.object({ at: time, kind: z.string(), detail: jsonValue() })),
  })
  .openapi('Attempt')

const params = z.object({ node: z.string().min(1).max(256) })
const planRefusals = [
  'NODE_UNKNOWN',
  'PLAN_IMPOSSIBLE',
  'IMAGE_UNKNOWN',
  'OVERLAY_UNKNOWN',
  'OVERLAY_INVALID',
  'TEMPLATE_INVALID',
] as const

const show = createRoute({
  method: 'get',
  path: '/{node}',
  summary: 'Show what a node would boot now, and where each part of it comes from',
  request: { params },
  responses: {
    200: json(
      z.object({
        plan: planSchema,
        explain: z.array(explanationSchema),
        archives: z.object({
          system: sized,
          runtime: sized,
          root: sized
            .extend({ unpackedSize: z.int(), warnings: z.array(z.string()) })
            .nullable()
            .openapi({ description: 'The image as one archive; null until it is made' }),
        }),
        url: z.string(),
        client: nodeClientSchema
          .nullable()
          .openapi({ description: 'What its client says; null when it never had one' }),
      }),
      'The plan',
    ),
    ...refusals(...planRefusals),
  },
})

const script = createRoute({
  method: 'get',
  path: '/{node}/script',
  summary: 'Print the boot script of a node, with a placeholder for the attempt',
  request: { params, query: z.object({ loader: z.enum(['ipxe', 'grub']).optional() }) },
  responses: {
    200: { description: 'The script', content: { 'text/plain': { schema: z.string() } } },
    ...refusals(...planRefusals, 'SCRIPT_UNSAFE', 'IMAGE_PREPARING'),
  },
})

const log = createRoute({
  method: 'get',
  path: '/{node}/log',
  summary: 'Show the boots of a node as timelines, newest first',
  description: 'Also of a node that is deleted.',
  request: { params, query: z.object({ limit: wholeNumber(1, 50).optional() }) },
  responses: { 200: json(z.array(attemptSchema), 'Attempts, each with its events in order') },
})

const attemptsByDefault = 10

/** Mounted at `/api/boot`. */
export const bootApiRoutes = (
  services: Services,
  { archives = overlayArchives(services) }: { archives?: OverlayArchives } = {},
) => {
  const { registry, activity, journal, assets, roots, cluster, url, now } = services
  const overlays = overlaySource(services)
  const scripts = bootScripts({ assets, overlays, rootOf: rootIfMade(roots), cluster, url })
  const snapshots = createSnapshots(registry)
  const clientOf = nodeClients(services)
  return apiRoutes()
    .openapi(show, async (c) => {
      // The snapshot is read first: a node that is read later is never older than it.
      const snapshot = await snapshots()
      const node = await getNode(registry, c.req.valid('param').node)
      const plan = await planBoot({ node, snapshot, overlays })
      const [system, runtime, root] = await Promise.all([
        archives.bootArchive(node, 'system', snapshot),
        archives.bootArchive(node, 'runtime', snapshot),
        roots.find(plan.image.digest),
      ])
      const sizeOf = ({ size, digest }: typeof system) => ({ digest, size })
      return c.json(
        {
          plan,
          explain: explainBoot(node, snapshot.profiles),
          archives: { system: sizeOf(system), runtime: sizeOf(runtime), root: root ?? null },
          url,
          client: await clientOf(node.name),
        },
        200,
      )
    })
    .openapi(script, async (c) => {
      const node = await getNode(registry, c.req.valid('param').node)
      const { loader = 'ipxe' } = c.req.valid('query')
      const made = await scripts.ofNode(node, await snapshots(), loader)
      const filling = { node: node.name, mac: macOf(node) ?? 'MAC', attempt: 'ATTEMPT', jitter: '0' }
      return c.text(fillScript(made.script, filling).text, 200)
    })
    .openapi(log, async (c) => {
      const { limit = attemptsByDefault } = c.req.valid('query')
      // What was recorded a moment ago is shown too; a journal that cannot be written has said so by itself.
      await journal.flush().catch(() => undefined)
      const found = await listAttempts(activity, c.req.valid('param').node, limit)
      return c.json(
        found.map((attempt) => attemptBody(attempt, now())),
        200,
      )
    })
}

const macOf = (node: StoredMember): string | undefined =>
  Object.values(node.settings.netdevs ?? {}).find((netdev) => netdev?.mac)?.mac ?? undefined

const attemptBody = (attempt: Attempt & { events: AttemptEvent[] }, now: Date) => ({
  id: attempt.id,
  startedAt: attempt.startedAt.toISOString(),
  mac: attempt.mac,
  plan: attempt.plan,
  outcome: outcomeOf(attempt, now),
  events: [
    // An attempt begins with its script, so that is not stored a second time.
    {
      at: attempt.startedAt.toISOString(),
      kind: 'script',
      detail: attempt.address === null ? {} : { address: attempt.address },
    },
    ...attempt.events.map(({ at, kind, detail }) => ({ at: at.toISOString(), kind, detail })),
  ],
})
