/** A certificate authority for tests, and servers' certificates of it, by openssl. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { run } from './rig.ts'

/** An authority in `folder`, and a certificate of it for 127.0.0.1: paths of PEM files, and the server's as text. */
export function certificates(folder: string, name = 'ca') {
  const [ca, caKey, cert, key] = ['ca', 'ca-key', 'cert', 'key'].map((what) => join(folder, `${name}-${what}.pem`)) as [
    string,
    string,
    string,
    string,
  ]
  const fresh = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2']
  run('openssl', ['req', '-x509', ...fresh, '-keyout', caKey, '-out', ca, '-subj', `/CN=${name}`])
  const request = run('openssl', ['req', ...fresh.slice(0, -2), '-keyout', key, '-subj', '/CN=127.0.0.1'])
  const extensions = join(folder, `${name}-extensions`)
  writeFileSync(extensions, 'subjectAltName=IP:127.0.0.1,DNS:localhost\n')
  const sign = ['x509', '-req', '-CA', ca, '-CAkey', caKey, '-CAcreateserial', '-days', '2', '-extfile', extensions]
  writeFileSync(cert, run('openssl', sign, { input: request }))
  return { ca, cert, key, tls: { cert: readFileSync(cert), key: readFileSync(key) } }
}
