import { readFile } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { statusOf } from '../../src/errors.ts'
import { type TestApp, testApp } from '../harness.ts'

let test: TestApp
beforeAll(async () => {
  test = await testApp()
})
afterAll(() => test.close())

describe('/api/docs', () => {
  let page: string
  beforeAll(async () => {
    page = await (await test.app.request('/api/docs')).text()
  })

  it('is a page that needs nothing from elsewhere', async () => {
    const response = await test.app.request('/api/docs')
    expect(response.headers.get('content-type')).toBe('text/html; charset=UTF-8')
    expect(response.headers.get('content-security-policy')).toContain("default-src 'none'")
    expect(page).toMatch(/^<!doctype html>/)
    expect(page).not.toMatch(/<script|<link|<img|src=|@import|https?:\/\//)
    expect(page).not.toMatch(/\[object |undefined|NaN/)
  })

  it('has every operation with what it is for, and every code', async () => {
    const document = await (await test.app.request('/api/openapi.json')).json()
    const operations = Object.entries(document.paths as Record<string, Record<string, { summary: string }>>)
    for (const [path, methods] of operations) {
      expect(page).toContain(`<span class="path">${path}</span>`)
      for (const { summary } of Object.values(methods)) expect(page).toContain(summary.replaceAll("'", '&#39;'))
    }
    for (const code of Object.keys(statusOf)) expect(page).toContain(`<code id="${code}">`)
    for (const name of Object.keys(document.components.schemas)) expect(page).toContain(`id="schema-${name}"`)
  })

  it('has links only to what is on it', () => {
    const targets = new Set([...page.matchAll(/ id="([^"]+)"/g)].map((match) => match[1]))
    const links = [...page.matchAll(/href="#([^"]+)"/g)].map((match) => match[1])
    expect(links.length).toBeGreaterThan(100)
    expect(links.filter((link) => !targets.has(link))).toEqual([])
  })
})

describe('docs/api.md', () => {
  it('has the table of errors as it is', async () => {
    const text = await readFile(new URL('../../docs/api.md', import.meta.url), 'utf8')
    const rows = [...text.matchAll(/^\| (\d{3}) \| (.+?) \|/gm)].flatMap(([, status, codes = '']) =>
      [...codes.matchAll(/`([A-Z_]+)`/g)].map((match) => [match[1], Number(status)]),
    )
    expect(Object.fromEntries(rows)).toEqual(statusOf)
    expect(rows).toHaveLength(Object.keys(statusOf).length)
  })
})
