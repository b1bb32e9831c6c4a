import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import type { Server } from 'node:net'
import { join } from 'node:path'
import { afterEach, beforeAll, describe, expect, it } from 'vitest'
import { openSource, type SourceOptions } from '../../src/sources/source.ts'
import { certificates } from './certificates.ts'
import { amd64Layers, digestOf, json, ociTypes } from './layouts.ts'
import { contentsOf, emptyFolder, need, optionsIn } from './rig.ts'

/** An image of one layer, and where its documents are served. */
const layer = amd64Layers[0]!
const config = json({ os: 'linux', architecture: 'amd64', rootfs: { type: 'layers', diff_ids: [digestOf(layer)] } })
const descriptorOf = (mediaType: string, bytes: Uint8Array) => ({
  mediaType,
  digest: digestOf(bytes),
  size: bytes.length,
})
const manifest = json({
  schemaVersion: 2,
  mediaType: ociTypes.manifest,
  config: descriptorOf(ociTypes.config, config),
  layers: [descriptorOf(ociTypes.tar, layer)],
})
const paths = {
  manifest: '/v2/site/image/manifests/1',
  config: `/v2/site/image/blobs/${digestOf(config)}`,
  layer: `/v2/site/image/blobs/${digestOf(layer)}`,
}

/** Answers a request, or leaves it to the well-behaved registry. */
type Misbehaviour = (request: IncomingMessage, response: ServerResponse, seen: number) => boolean

const servers: Server[] = []
afterEach(() => {
  for (const server of servers.splice(0)) server.close()
})

const folder = emptyFolder()
let made: ReturnType<typeof certificates>
beforeAll(() => {
  need('openssl')
  made = certificates(folder)
})

/** A registry with that image. Everything that was asked is in `asked`. */
async function registry(misbehave: Misbehaviour = () => false, { tls = false } = {}) {
  const asked: { path: string; method: string; headers: IncomingMessage['headers'] }[] = []
  const answer = (request: IncomingMessage, response: ServerResponse) => {
    const path = request.url ?? ''
    asked.push({ path, method: request.method ?? '', headers: request.headers })
    const seen = asked.filter((one) => one.path === path).length
    if (misbehave(request, response, seen)) return
    if (path === paths.manifest) response.setHeader('content-type', ociTypes.manifest).end(manifest)
    else if (path === paths.config) response.end(config)
    else if (path === paths.layer) send(request, response, layer)
    else response.writeHead(path === '/v2/' ? 200 : 404).end('{}')
  }
  const server = tls ? createSecureServer(made.tls, answer) : createServer(answer)
  servers.push(server)
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const address = server.address()
  if (typeof address !== 'object' || address === null) throw new Error('no address')
  const name = `127.0.0.1:${address.port}`
  const pathsAsked = () => asked.filter(({ path }) => path !== '/v2/').map(({ path }) => path)
  return {
    name,
    asked,
    paths: pathsAsked,
    origin: `${tls ? 'https' : 'http'}://${name}`,
    from: `docker://${name}/site/image:1`,
  }
}

/** Sends bytes, from where the request wants them on. */
function send({ headers }: IncomingMessage, response: ServerResponse, bytes: Uint8Array): void {
  const [, start] = /^bytes=([0-9]+)-$/.exec(headers.range ?? '') ?? []
  if (start === undefined) response.end(bytes)
  else {
    response.writeHead(206, { 'content-range': `bytes ${start}-${bytes.length - 1}/${bytes.length}` })
    response.end(bytes.subarray(Number(start)))
  }
}

const insecure = (given: Partial<SourceOptions> = {}) => optionsIn(folder, { insecure: true, ...given })

function logins(name: string, auths: Record<string, unknown>): string {
  const file = join(folder, name)
  writeFileSync(file, JSON.stringify({ auths }))
  return file
}
const auth = (text: string) => ({ auth: Buffer.from(text).toString('base64') })
const basic = (text: string) => `Basic ${Buffer.from(text).toString('base64')}`

describe('a registry that is well', () => {
  it('is asked for the manifest, the config and the layer, each once', async () => {
    const { from, paths: seen, asked } = await registry()
    const found = await contentsOf(await openSource(from, insecure()))
    expect(found.layers[0]?.equals(layer)).toBe(true)
    expect(found).toMatchObject({ sourceDigest: digestOf(manifest), whiteouts: 'oci', source: from })
    expect(seen()).toEqual([paths.manifest, paths.config, paths.layer])
    for (const type of Object.values(ociTypes).slice(0, 2)) expect(asked[0]?.headers.accept).toContain(type)
  })
})

describe('a registry that is busy', () => {
  it.each([429, 500, 502, 503, 504])('with %i is asked again, with pauses that grow', async (status) => {
    const { from, paths: seen } = await registry((_request, response, count) => {
      if (response.req.url !== paths.manifest || count > 3) return false
      response.writeHead(status).end()
      return true
    })
    const options = insecure()
    await contentsOf(await openSource(from, options))
    expect(seen().filter((path) => path === paths.manifest).length).toBe(4)
    expect(options.pauses.map((time, at) => time >= 500 * 2 ** at && time < 1500 * 2 ** at)).toEqual([true, true, true])
  })

  it('is left alone for as long as it asks, and not asked for ever', async () => {
    const busy = await registry((_request, response) => {
      if (response.req.url !== paths.manifest) return false
      response.writeHead(429, { 'retry-after': '7' }).end()
      return true
    })
    const options = insecure()
    await expect(openSource(busy.from, options)).rejects.toMatchObject({
      code: 'SOURCE_UNREACHABLE',
      message: `${busy.name} answered 429`,
    })
    expect(options.pauses.length).toBe(4)
    for (const time of options.pauses) expect(time).toBeGreaterThanOrEqual(7000)
  })

  it('is not waited for when it asks for an hour', async () => {
    const { from } = await registry((_request, response) => {
      if (response.req.url !== paths.manifest) return false
      response.writeHead(503, { 'retry-after': '3600' }).end()
      return true
    })
    const options = insecure()
    await expect(openSource(from, options)).rejects.toThrow(/asks to be left alone for 3600 s/)
    expect(options.pauses).toEqual([])
  })

  it('breaks connections before it answers, and is asked again', async () => {
    const { from } = await registry((request, _response, count) => {
      if (request.url !== paths.config || count > 2) return false
      request.socket.resetAndDestroy()
      return true
    })
    expect((await contentsOf(await openSource(from, insecure()))).layers.length).toBe(1)
  })
})

describe('a download that breaks', () => {
  /** Sends so many bytes of what is left of the layer, then breaks the connection. */
  const breakAfter =
    (length: number, times: number): Misbehaviour =>
    (request, response, count) => {
      if (request.url !== paths.layer || count > times) return false
      const start = Number(/^bytes=([0-9]+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0)
      response.writeHead(start > 0 ? 206 : 200, {
        'content-length': layer.length - start,
        ...(start > 0 && { 'content-range': `bytes ${start}-${layer.length - 1}/${layer.length}` }),
      })
      response.write(layer.subarray(start, start + length), () =>
        setTimeout(() => request.socket.resetAndDestroy(), 20),
      )
      return true
    }

  it('goes on where it broke', async () => {
    const { from, asked } = await registry(breakAfter(5000, 3))
    expect((await contentsOf(await openSource(from, insecure()))).layers[0]?.equals(layer)).toBe(true)
    const ranges = asked.filter(({ path }) => path === paths.layer).map(({ headers }) => headers.range)
    expect(ranges).toEqual([undefined, 'bytes=5000-', 'bytes=10000-', 'bytes=15000-'])
  })

  it('is read from its beginning where the registry knows no ranges, and gives no byte twice', async () => {
    const { from } = await registry((request, response, count) => {
      if (request.url === paths.layer && count > 1) {
        response.end(layer)
        return true
      }
      return breakAfter(5000, 1)(request, response, count)
    })
    expect((await contentsOf(await openSource(from, insecure()))).layers[0]?.equals(layer)).toBe(true)
  })

  it('is given up after a while', async () => {
    const { from } = await registry(breakAfter(0, 100))
    const source = await openSource(from, insecure())
    await expect(contentsOf(source)).rejects.toMatchObject({ code: 'SOURCE_UNREACHABLE' })
  })

  it('is refused when it goes on somewhere else', async () => {
    const { from } = await registry((request, response, count) => {
      if (request.url !== paths.layer || count === 1) return breakAfter(5000, 1)(request, response, count)
      response.writeHead(206, { 'content-range': `bytes 0-${layer.length - 1}/${layer.length}` }).end(layer)
      return true
    })
    await expect(contentsOf(await openSource(from, insecure()))).rejects.toMatchObject({ code: 'SOURCE_UNREACHABLE' })
  })

  it.each([
    ['other bytes of the same length', layer.map((byte, at) => (at === 600 ? byte ^ 1 : byte)), /its bytes are sha256/],
    ['more bytes', new Uint8Array([...layer, 0]), /has more than the/],
  ])('is refused when there are %s', async (_name, bytes, message) => {
    const { from } = await registry((request, response) => {
      if (request.url !== paths.layer) return false
      response.end(bytes)
      return true
    })
    const source = await openSource(from, insecure())
    await expect(contentsOf(source)).rejects.toMatchObject({
      code: 'SOURCE_INVALID',
      message: expect.stringMatching(message),
    })
  })

  it('ends with Ctrl-C', async () => {
    const interrupt = new AbortController()
    const { from } = await registry((request, response) => {
      if (request.url !== paths.layer) return false
      response.write(layer.subarray(0, 1000), () => interrupt.abort(new Error('interrupted')))
      return true
    })
    const source = await openSource(from, insecure({ signal: interrupt.signal }))
    await expect(contentsOf(source)).rejects.toThrow('interrupted')
  })
})

describe('a redirect', () => {
  const login = 'reader:of images'
  const elsewhere = async (target: (name: string) => string, options: { tls?: boolean } = {}) => {
    const other = await registry(undefined, options)
    const first = await registry((request, response) => {
      if (request.headers.authorization !== basic(login)) {
        response.writeHead(401, { 'www-authenticate': 'Basic realm="r"' }).end()
        return true
      }
      if (request.url !== paths.layer) return false
      response.writeHead(307, { location: target(other.name) }).end()
      return true
    })
    return { first, other, authfile: logins(`${first.name}.json`, { [first.name]: auth(login) }) }
  }

  it('to another place takes no credentials along', async () => {
    const { first, other, authfile } = await elsewhere((name) => `http://${name}${paths.layer}`)
    const found = await contentsOf(await openSource(first.from, insecure({ authfile })))
    expect(found.layers[0]?.equals(layer)).toBe(true)
    expect(other.asked.map(({ headers }) => headers.authorization)).toEqual([undefined])
    expect(first.asked.at(-1)?.headers.authorization).toBe(basic(login))
  })

  it('to a place that asks for a login gets none', async () => {
    const other = await registry((_request, response) => {
      response.writeHead(401, { 'www-authenticate': 'Basic realm="r"' }).end()
      return true
    })
    const first = await registry((request, response) => {
      if (request.url !== paths.layer) return false
      response.writeHead(307, { location: `${other.origin}/` }).end()
      return true
    })
    const authfile = logins('redirected.json', { [first.name]: auth(login), [other.name]: auth(login) })
    const source = await openSource(first.from, insecure({ authfile }))
    await expect(contentsOf(source)).rejects.toMatchObject({ code: 'SOURCE_UNREACHABLE' })
    expect(other.asked.map(({ headers }) => headers.authorization)).toEqual([undefined])
  })

  it.each([
    ['from TLS to none', 'http://127.0.0.1:1/blob', /is not https/],
    ['to a file of this machine', 'file:///etc/passwd', /is not https/],
    ['with a password in it', 'https://user:secret@127.0.0.1:1/', /password in its URL/],
    ['to nowhere', 'https://[', /no URL/],
  ])('%s is not followed', async (_name, location, message) => {
    const { from } = await registry(
      (request, response) => {
        if (request.url !== paths.layer) return false
        response.writeHead(302, { location }).end()
        return true
      },
      { tls: true },
    )
    const source = await openSource(from, optionsIn(folder, { ca: made.ca }))
    await expect(contentsOf(source)).rejects.toMatchObject({
      code: 'SOURCE_UNREACHABLE',
      message: expect.stringMatching(message),
    })
  })

  it('in a circle ends', async () => {
    const { from, asked } = await registry((request, response) => {
      if (request.url !== paths.layer) return false
      response.writeHead(302, { location: paths.layer }).end()
      return true
    })
    await expect(contentsOf(await openSource(from, insecure()))).rejects.toThrow(/more than 5 times/)
    expect(asked.filter(({ path }) => path === paths.layer).length).toBe(6)
  })
})

describe('a registry with a token server', () => {
  /** A registry that takes a token for so many requests, and the server that gives them. */
  async function guarded({ lives = 1000, tls = false, realm }: { lives?: number; tls?: boolean; realm?: string } = {}) {
    const tokens = new Map<string, number>()
    const issuer = await registry(
      (request, response) => {
        const chunks: Buffer[] = []
        request.on('data', (chunk) => chunks.push(chunk))
        request.on('end', () => {
          const form = new URLSearchParams(Buffer.concat(chunks).toString())
          const allowed =
            request.headers.authorization === basic('reader:secret') || form.get('refresh_token') === 'identity'
          if (!allowed) return response.writeHead(401).end()
          const token = `token-${tokens.size}`
          tokens.set(token, lives)
          return response.end(JSON.stringify(form.has('grant_type') ? { access_token: token } : { token }))
        })
        return true
      },
      { tls },
    )
    const first = await registry(
      (request, response) => {
        if (request.url === '/v2/') return false
        const token = /^Bearer (.*)$/.exec(request.headers.authorization ?? '')?.[1] ?? ''
        const left = tokens.get(token) ?? 0
        tokens.set(token, left - 1)
        if (left > 0) return false
        const challenge = `Bearer realm="${realm ?? `${issuer.origin}/token`}",service="registry of tests",scope="repository:site/image:pull"`
        response.writeHead(401, { 'www-authenticate': challenge }).end()
        return true
      },
      { tls },
    )
    return { issuer, first, authfile: logins(`${first.name}.json`, { [first.name]: auth('reader:secret') }) }
  }

  it('is asked for one token, which then opens everything', async () => {
    const { issuer, first, authfile } = await guarded()
    const found = await contentsOf(await openSource(first.from, insecure({ authfile })))
    expect(found.layers[0]?.equals(layer)).toBe(true)
    expect(issuer.paths()).toEqual(['/token?service=registry+of+tests&scope=repository%3Asite%2Fimage%3Apull'])
    expect(first.asked.filter(({ headers }) => headers.authorization?.startsWith('Basic'))).toEqual([])
  })

  it('is asked again when the token has had its time', async () => {
    const { issuer, first, authfile } = await guarded({ lives: 1 })
    expect((await contentsOf(await openSource(first.from, insecure({ authfile })))).layers.length).toBe(1)
    expect(issuer.paths().length).toBe(3)
  })

  it('gets an identity token in the body, where nobody logs it', async () => {
    const { issuer, first } = await guarded()
    const authfile = logins('identity.json', { [first.name]: { identitytoken: 'identity' } })
    expect((await contentsOf(await openSource(first.from, insecure({ authfile })))).layers.length).toBe(1)
    expect(issuer.asked.map(({ method, path }) => [method, path])).toEqual([['POST', '/token']])
  })

  it('is not asked without TLS, so that nobody reads the password along', async () => {
    const { issuer: plain } = await guarded()
    const { first, authfile } = await guarded({ tls: true, realm: `${plain.origin}/token` })
    await expect(openSource(first.from, optionsIn(folder, { ca: made.ca, authfile }))).rejects.toMatchObject({
      code: 'SOURCE_UNREACHABLE',
      message: expect.stringContaining('is not https'),
    })
    expect(plain.asked).toEqual([])
  })

  it('is asked over TLS', async () => {
    const { issuer, first, authfile } = await guarded({ tls: true })
    const found = await openSource(first.from, optionsIn(folder, { ca: made.ca, authfile }))
    expect((await contentsOf(found)).layers.length).toBe(1)
    expect(issuer.asked.map(({ headers }) => headers.authorization)).toEqual([basic('reader:secret')])
  })

  it('that refuses is named, with the file of the login and not the login', async () => {
    const { first, issuer } = await guarded()
    const authfile = logins('wrong.json', { [first.name]: auth('reader:guessed') })
    const refusal = await openSource(first.from, insecure({ authfile })).catch((error: Error) => error)
    expect(refusal).toMatchObject({
      code: 'SOURCE_DENIED',
      message: `${issuer.name}, which guards ${first.name}, does not take the login from ${authfile}`,
    })
  })

  it.each([
    ['no document', 'not json'],
    ['no token', '{}'],
    ['a token that would break a header', '{"token":"a\\r\\nb"}'],
    ['a token that is no text', '{"token":{}}'],
    ['too much', JSON.stringify({ token: 'a'.repeat(2 ** 21) })],
  ])('that answers %s is not believed', async (_name, body) => {
    const issuer = await registry((_request, response) => {
      response.end(body)
      return true
    })
    const { from } = await registry((request, response) => {
      if (request.url === '/v2/') return false
      response.writeHead(401, { 'www-authenticate': `Bearer realm="${issuer.origin}"` }).end()
      return true
    })
    await expect(openSource(from, insecure())).rejects.toMatchObject({
      code: expect.stringMatching(/^SOURCE_(?:INVALID|DENIED)$/),
    })
  })

  it.each([
    ['asks for a kind of login that there is not', 'Negotiate'],
    ['asks for nothing', ''],
    ['names a token server that is no URL', 'Bearer realm="nowhere"'],
  ])('that %s is given up', async (_name, challenge) => {
    const { from } = await registry((request, response) => {
      if (request.url === '/v2/') return false
      response.writeHead(401, challenge === '' ? {} : { 'www-authenticate': challenge }).end()
      return true
    })
    await expect(openSource(from, insecure())).rejects.toMatchObject({ code: 'SOURCE_DENIED' })
  })
})

describe('a manifest from a registry', () => {
  const served = (type: string, bytes: Uint8Array, headers: Record<string, string> = {}) =>
    registry((request, response) => {
      if (request.url !== paths.manifest) return false
      response.writeHead(200, { 'content-type': type, ...headers }).end(bytes)
      return true
    })

  it.each([
    ['another type than it says of itself', ociTypes.index, manifest, {}, /calls itself .* but is sent as/],
    [
      "Docker's schema 1",
      'application/vnd.docker.distribution.manifest.v1+prettyjws',
      json({ schemaVersion: 1 }),
      {},
      /schema 1/,
    ],
    [
      'another digest than the registry says',
      ociTypes.manifest,
      manifest,
      { 'docker-content-digest': digestOf(layer) },
      /should be/,
    ],
    [
      'more than anybody needs',
      ociTypes.manifest,
      new Uint8Array(5 * 2 ** 20).fill(32),
      {},
      /longer than 4194304 bytes/,
    ],
    ['a page for people', 'text/html', new TextEncoder().encode('<html>'), {}, /is no JSON/],
  ])('is refused when it has %s', async (_name, type, bytes, headers, message) => {
    const { from } = await served(type, bytes, headers)
    await expect(openSource(from, insecure())).rejects.toMatchObject({
      code: 'SOURCE_INVALID',
      message: expect.stringMatching(message),
    })
  })

  it('is refused when it is not the one of the digest that was asked for', async () => {
    const { from, name } = await registry((request, response) => {
      if (!request.url?.includes('/manifests/')) return false
      response.writeHead(200, { 'content-type': ociTypes.manifest }).end(manifest)
      return true
    })
    expect(from).toContain(name)
    const pinned = `docker://${name}/site/image@${digestOf(layer)}`
    await expect(openSource(pinned, insecure())).rejects.toMatchObject({ code: 'SOURCE_INVALID' })
  })

  it('is taken when the registry calls it just JSON', async () => {
    const { from } = await served('application/json; charset=utf-8', manifest)
    expect((await contentsOf(await openSource(from, insecure()))).layers.length).toBe(1)
  })
})

describe('a proxy', () => {
  it('of the environment is used', async () => {
    const { name, from } = await registry()
    const seen: string[] = []
    const proxy = createServer((request, response) => {
      seen.push(request.url ?? '')
      response.writeHead(200, { 'content-type': ociTypes.manifest }).end(manifest)
    })
    servers.push(proxy)
    await once(proxy.listen(0, '127.0.0.1'), 'listening')
    const address = proxy.address()
    const port = typeof address === 'object' && address ? address.port : 0
    const env = { PATH: process.env.PATH, HOME: folder, HTTP_PROXY: `http://127.0.0.1:${port}` }
    // The proxy answers everything with the manifest, so that the config is not what it should be.
    await expect(openSource(from, insecure({ env }))).rejects.toMatchObject({ code: 'SOURCE_INVALID' })
    expect(seen).toContain(`http://${name}${paths.manifest}`)
  })
})
