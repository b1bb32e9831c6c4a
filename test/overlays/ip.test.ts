import { isIPv6 } from 'node:net'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { formatIp4, formatIp6, parseCidr4, parseCidr6, parseIp4, parseIp6 } from '../../src/overlays/ip.ts'

describe('an IPv4 address with its prefix', () => {
  it.each([
    ['10.0.0.2/24', '255.255.255.0', '10.0.0.0', '10.0.0.255'],
    ['10.139.121.7/20', '255.255.240.0', '10.139.112.0', '10.139.127.255'],
    ['192.168.1.1/0', '0.0.0.0', '0.0.0.0', '255.255.255.255'],
    ['255.255.255.255/1', '128.0.0.0', '128.0.0.0', '255.255.255.255'],
    ['10.0.0.1/30', '255.255.255.252', '10.0.0.0', '10.0.0.3'],
    ['10.0.0.1/31', '255.255.255.254', '10.0.0.0', undefined],
    ['10.0.0.1/32', '255.255.255.255', '10.0.0.1', undefined],
  ])('%s has netmask %s, network %s and broadcast %s', (text, netmask, network, broadcast) => {
    const [ip, prefix] = text.split('/')
    expect(parseCidr4(text)).toEqual({ ip, prefix: Number(prefix), netmask, network, broadcast })
  })

  it.each([
    '10.0.0.1',
    '10.0.0.1/33',
    '10.0.0.1/08',
    '10.0.0.1/',
    '10.0.0/8',
    '10.0.0.256/8',
    '010.0.0.1/8',
    '10.0.0.1/8/8',
    '',
  ])('%j is none', (text) => {
    expect(parseCidr4(text)).toBeUndefined()
  })

  it('lies between its network and its broadcast, which differ from it only below the prefix', () => {
    fc.assert(
      fc.property(fc.nat(2 ** 32 - 1), fc.integer({ min: 0, max: 30 }), (value, prefix) => {
        const cidr = parseCidr4(`${formatIp4(value)}/${prefix}`)!
        const [low, high] = [parseIp4(cidr.network)!, parseIp4(cidr.broadcast!)!]
        expect(high - low).toBe(2 ** (32 - prefix) - 1)
        expect(low <= value && value <= high).toBe(true)
        expect(low % 2 ** (32 - prefix)).toBe(0)
        expect(parseIp4(cidr.netmask)! + 2 ** (32 - prefix)).toBe(2 ** 32)
      }),
    )
  })
})

describe('an IPv6 address', () => {
  it.each([
    ['2001:DB8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    ['::', '::'],
    ['::1', '::1'],
    ['1::', '1::'],
    ['fd00:0000::00a0', 'fd00::a0'],
    ['::ffff:10.0.0.1', '::ffff:a00:1'],
    ['1:2:3:4:5:6:7::', '1:2:3:4:5:6:7:0'],
  ])('%s is spelt %s', (text, canonical) => {
    expect(formatIp6(parseIp6(text)!)).toBe(canonical)
  })

  it.each([
    '',
    ':',
    ':::',
    '1::2::3',
    '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:8:9',
    '12345::',
    'g::',
    'fe80::1%eth0',
    '::1.2.3',
    '1:2:3:4:5:6:7:8::',
  ])('%j is none', (text) => {
    expect(parseIp6(text)).toBeUndefined()
  })

  it('is read and spelt as the URL standard does', () => {
    fc.assert(
      fc.property(fc.ipV6(), (text) => {
        expect(isIPv6(text)).toBe(true)
        expect(`[${formatIp6(parseIp6(text)!)}]`).toBe(new URL(`http://[${text}]/`).hostname)
      }),
    )
  })

  it.each([
    ['fd00:0:0::10/64', 'fd00::10', 64, 'fd00::'],
    ['2001:db8:ffff::1/36', '2001:db8:ffff::1', 36, '2001:db8:f000::'],
    ['::1/128', '::1', 128, '::1'],
    ['ffff::/0', 'ffff::', 0, '::'],
  ])('%s is %s with prefix %i in network %s', (text, ip, prefix, network) => {
    expect(parseCidr6(text)).toEqual({ ip, prefix, network })
  })

  it('has a network that is its own network', () => {
    fc.assert(
      fc.property(fc.ipV6(), fc.integer({ min: 0, max: 128 }), (text, prefix) => {
        const { network } = parseCidr6(`${text}/${prefix}`)!
        expect(parseCidr6(`${network}/${prefix}`)?.network).toBe(network)
      }),
    )
  })
})
