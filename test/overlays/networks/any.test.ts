/** Any settings that the schema takes: every network overlay is rendered, and what comes of it is taken by its service. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type LayeredOverlay, renderOverlays } from '../../../src/overlays/layers.ts'
import { buildView } from '../../../src/overlays/view.ts'
import type { Effective } from '../../../src/registry/settings.ts'
import { inputOf, shippedOverlay, textOf } from '../fixtures.ts'
import { anyNetwork } from '../settings.ts'
import { grammarFaults } from './grammars.ts'
import { ifupdownCommands, netplanFaults, networkdFaults, networkManagerFaults, type Texts } from './tools.ts'

/** Tools are slow to start, so that each case is many nodes. */
const many = (count: number) => fc.array(anyNetwork, { minLength: count, maxLength: count })
const quickly = { endOnFailure: true }

function textsOf(overlay: LayeredOverlay, settings: Effective): Texts {
  const files = renderOverlays([overlay], buildView(inputOf({ name: 'n1', settings })))
  return Object.fromEntries(
    files.filter((file) => file.type === 'file' && file.mode !== 0o755).map((file) => [file.path, textOf(file)]),
  )
}

/** The files of many nodes in one folder: each name says whose it is. */
const together = (all: Texts[]): Texts =>
  Object.fromEntries(
    all.flatMap((texts, at) =>
      Object.entries(texts).map(([path, text]) => [path.replace(/\/([^/]*)$/, (_, last) => `/${at}-${last}`), text]),
    ),
  )

/** A fault with the text that has it, so that a failing case can be read. */
const shown = (faults: string[], texts: Texts): string[] =>
  faults.map((fault) => `${fault}\n${Object.entries(texts).find(([path]) => fault.startsWith(path))?.[1] ?? ''}`)

describe('whatever the settings are', { timeout: 120_000 }, () => {
  it('NetworkManager takes the files', async () => {
    const overlay = await shippedOverlay('NetworkManager')
    fc.assert(
      fc.property(many(100), (all) => {
        const texts = together(all.map((settings) => textsOf(overlay, settings)))
        expect(Object.keys(texts).length).toBeGreaterThan(60)
        expect(shown(networkManagerFaults(texts), texts)).toEqual([])
      }),
      { numRuns: 3, ...quickly },
    )
  })

  it('systemd-networkd takes the files', async () => {
    const overlay = await shippedOverlay('systemd-networkd')
    fc.assert(
      fc.property(many(100), (all) => {
        const texts = together(all.map((settings) => textsOf(overlay, settings)))
        expect(Object.keys(texts).length).toBeGreaterThan(60)
        // Nodes that lie in one folder find the other nodes' devices by their names.
        const faults = networkdFaults(texts).filter(
          (fault) => !/: NetDev \S+ is not a (?:bond|vlan), ignoring/.test(fault),
        )
        expect(shown(faults, texts)).toEqual([])
      }),
      { numRuns: 3, ...quickly },
    )
  })

  it('netplan takes the files', async () => {
    const overlay = await shippedOverlay('netplan')
    let read = 0
    fc.assert(
      fc.property(anyNetwork, (settings) => {
        const texts = textsOf(overlay, settings)
        read += Object.keys(texts).length
        expect(shown(netplanFaults(texts), texts)).toEqual([])
      }),
      { numRuns: 80 },
    )
    expect(read).toBeGreaterThan(80)
  })

  it('ifup knows what to do', async () => {
    const overlay = await shippedOverlay('ifupdown')
    let commands = 0
    fc.assert(
      fc.property(anyNetwork, (settings) => {
        const texts = textsOf(overlay, settings)
        const { faults, commands: done } = ifupdownCommands(texts)
        commands += done.length
        expect(shown(faults, texts)).toEqual([])
      }),
      { numRuns: 60 },
    )
    expect(commands).toBeGreaterThan(5000)
  })

  it.each(['ifcfg', 'wicked', 'udev-names', 'systemd-names'])(
    'the files of %s are within their grammar',
    async (name) => {
      const overlay = await shippedOverlay(name)
      let read = 0
      fc.assert(
        fc.property(anyNetwork, (settings) => {
          const texts = textsOf(overlay, settings)
          read += Object.keys(texts).length
          expect(Object.entries(texts).flatMap(([path, text]) => grammarFaults(path, text))).toEqual([])
        }),
        { numRuns: 500 },
      )
      expect(read).toBeGreaterThan(200)
    },
  )
})
