/** What differs between what a node reported and what it would get: the comparison alone, without any service. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { AgentReport } from '../../src/activity/schema.ts'
import { hexOf } from '../../src/blobs/digest.ts'
import { compare, type DriftReason, pathsAtMost, type Wanted, withOverlays, withPaths } from '../../src/boot/drift.ts'
import type { ListedEntry } from '../../src/overlays/tree-list.ts'

const hex = fc.string({ unit: fc.constantFrom(...'0123456789abcdef'), minLength: 64, maxLength: 64 })
const digest = hex.map((text): `sha256:${string}` => `sha256:${text}`)
const kernelArg = fc.stringMatching(/^[a-z][a-z0-9_.=,-]{0,20}$/)

const wanted: fc.Arbitrary<Wanted> = fc.record({
  plan: fc.record({
    image: fc.record({ name: fc.constantFrom('rocky9', 'debian'), version: fc.integer({ min: 1, max: 99 }), digest }),
    kernel: fc.record({ version: fc.stringMatching(/^[1-9]\.[0-9]{1,2}\.[0-9]-[a-z0-9._]{1,10}$/) }),
    root: fc.record({ mode: fc.constantFrom('initramfs' as const, 'tmpfs' as const) }),
    args: fc.array(kernelArg, { maxLength: 6 }),
  }),
  system: fc.record({ digest, public: digest }),
  runtime: fc.record({ digest, public: digest }),
})

/** What a node says that has everything as it should. */
const reportOf = ({ plan, system, runtime }: Wanted): Required<Pick<AgentReport, Compared>> => ({
  image: plan.image.digest,
  kernel: plan.kernel.version,
  rootKind: plan.root.mode,
  args: plan.args.join(' '),
  system: hexOf(system.digest),
  runtime: hexOf(runtime.digest),
})
type Compared = 'image' | 'kernel' | 'rootKind' | 'args' | 'system' | 'runtime'

const subjects: Record<Compared, DriftReason['what']> = {
  image: 'image',
  kernel: 'kernel',
  rootKind: 'root',
  args: 'args',
  system: 'system overlays',
  runtime: 'runtime overlays',
}
const compared = Object.keys(subjects) as Compared[]

describe('drift', () => {
  it('of a node that has all that it would get is none, whatever else it says', () => {
    fc.assert(
      fc.property(wanted, fc.nat(), (all, number) => {
        const report = { ...reportOf(all), uptime: number, memTotalKiB: number, failure: 'of something else' }
        expect(compare(report, all)).toEqual({ state: 'same', reasons: [] })
      }),
    )
  })

  it('names any single change, and nothing else', () => {
    fc.assert(
      fc.property(wanted, fc.constantFrom(...compared), digest, (all, field, other) => {
        const report = { ...reportOf(all), [field]: field === 'image' ? other : hexOf(other) }
        const { state, reasons } = compare(report, all)
        expect(reasons.map(({ what }) => what)).toEqual([subjects[field]])
        expect(reasons[0]?.has).not.toBe(reasons[0]?.wants)
        expect(state).toBe(field === 'runtime' ? 'runtime pending' : 'reboot needed')
      }),
    )
  })

  it('names all of several changes, in one order, and runtime overlays alone wait for no reboot', () => {
    fc.assert(
      fc.property(wanted, fc.subarray(compared, { minLength: 1 }), digest, (all, fields, other) => {
        const changed = Object.fromEntries(fields.map((field) => [field, field === 'image' ? other : hexOf(other)]))
        const { state, reasons } = compare({ ...reportOf(all), ...changed }, all)
        const order = compared.filter((field) => fields.includes(field)).map((field) => subjects[field])
        expect(reasons.map(({ what }) => what)).toEqual(order)
        expect(state === 'runtime pending').toBe(fields.every((field) => field === 'runtime'))
      }),
    )
  })

  it('compares what a report tells, and is unknown when it tells nothing of it', () => {
    fc.assert(
      fc.property(wanted, fc.subarray(compared), (all, fields) => {
        const full: AgentReport = reportOf(all)
        // That there are no arguments is told by telling none.
        const told = fields.includes('image') ? [...fields, 'args' as const] : fields
        const report = Object.fromEntries(told.map((field) => [field, full[field]]))
        expect(compare({ ...report, uptime: 5 }, all)).toEqual({
          state: fields.length === 0 ? 'unknown' : 'same',
          reasons: [],
        })
      }),
    )
  })

  const all: Wanted = {
    plan: {
      image: { name: 'rocky9', version: 4, digest: `sha256:${'4'.repeat(64)}` },
      kernel: { version: '5.14.0-570' },
      root: { mode: 'tmpfs' },
      args: ['quiet', 'a="b c"', 'größe=1'],
    },
    system: { digest: `sha256:${'5'.repeat(64)}`, public: `sha256:${'6'.repeat(64)}` },
    runtime: { digest: `sha256:${'7'.repeat(64)}`, public: `sha256:${'7'.repeat(64)}` },
  }

  it('calls images by name and version, and by their digest when nobody knows them any more', () => {
    const report = { ...reportOf(all), image: `sha256:${'3'.repeat(64)}` }
    expect(compare(report, all, () => 'rocky9@3').reasons).toEqual([
      { what: 'image', has: 'rocky9@3', wants: 'rocky9@4' },
    ])
    expect(compare(report, all).reasons[0]?.has).toBe('sha256:333333333333')
  })

  it('takes arguments as a node tells them, which is without what is not ASCII', () => {
    expect(compare({ ...reportOf(all), args: 'quiet a="b c" gre=1' }, all).state).toBe('same')
    const { args: _, ...without } = reportOf(all)
    for (const report of [{ ...without, args: '' }, without])
      expect(compare(report, all).reasons).toEqual([{ what: 'args', has: '', wants: 'quiet a="b c" größe=1' }])
    const long = 'x'.repeat(5000)
    expect(
      compare({ ...without, args: long.slice(0, 4000) }, { ...all, plan: { ...all.plan, args: [long] } }).state,
    ).toBe('same')
  })

  it('says so when a node has all but the private files', () => {
    const { state, reasons } = compare({ ...reportOf(all), system: '6'.repeat(64) }, all)
    expect([state, reasons[0]?.detail]).toEqual(['reboot needed', expect.stringContaining('private files')])
  })
})

describe('the reason of drifting overlays', () => {
  const reason: DriftReason = { what: 'system overlays', has: 'a', wants: 'b' }
  const file = (path: string, more: Partial<ListedEntry> = {}): ListedEntry => ({
    path,
    type: 'file',
    mode: 0o644,
    uid: 0,
    gid: 0,
    digest: '1'.repeat(64),
    private: false,
    actions: '',
    ...more,
  })
  const secret = file('/etc/munge.key', { private: true })

  it.each([
    ['content', { digest: '2'.repeat(64) }],
    ['mode', { mode: 0o600 }],
    ['owner', { uid: 5 }],
    ['type', { type: 'link' as const }],
    ['action', { actions: 'unit chronyd.service\n' }],
  ])('names a path with another %s', (_, change) => {
    expect(withPaths(reason, [file('/a'), file('/b')], [file('/a', change), file('/b')])).toEqual({
      ...reason,
      paths: ['/a'],
    })
  })

  it('names paths that come and go', () => {
    expect(withPaths(reason, [file('/a'), file('/c')], [file('/c'), file('/b')]).paths).toEqual(['/a', '/b'])
  })

  it('names a few of many, and says how many more there are', () => {
    const many = Array.from({ length: 25 }, (_, at) => file(`/f${String(at).padStart(2, '0')}`))
    const named = withPaths(reason, many, [])
    expect(named.paths).toHaveLength(pathsAtMost)
    expect(named.morePaths).toBe(25 - pathsAtMost)
  })

  it('says private files where nothing else can differ, and keeps what it said already', () => {
    expect(withPaths(reason, [file('/a'), secret], [file('/a'), secret])).toEqual({
      ...reason,
      detail: 'contents of private files',
    })
    const said = { ...reason, detail: 'something' }
    expect(withPaths(said, [secret], [secret]).detail).toBe('something')
    expect(withPaths(reason, [file('/a')], [file('/a')])).toEqual(reason)
  })

  it('names overlays whose source changed, came or went', () => {
    const of = (name: string, version: number | undefined, digit: string) => ({
      name,
      ...(version !== undefined && { version }),
      digest: `sha256:${digit.repeat(64)}` as const,
    })
    const then = [of('base', undefined, '1'), of('hosts', 3, '2'), of('motd', undefined, '3'), of('swap', 1, '4')]
    const now = [of('base', undefined, '1'), of('hosts', 4, '5'), of('motd', undefined, '6'), of('chrony', 2, '7')]
    expect(withOverlays(reason, then, now).overlays).toEqual(['hosts@3 → hosts@4', 'motd', '+chrony@2', '-swap@1'])
    expect(withOverlays(reason, then, then)).toEqual(reason)
  })
})
