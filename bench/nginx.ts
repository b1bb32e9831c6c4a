/** The peer: Debian's nginx, as its documentation advises for files: one worker, sendfile, no log. */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { freePort, retry } from './processes.ts'

/** nginx that is running: `pid` is its worker's, whose CPU counts. */
export type Nginx = { child: ChildProcess; pid: number; port: number }

/** Starts nginx with its files below `folder`. `server` is what stands in its server block besides `listen`. */
export async function startNginx(folder: string, server: string): Promise<Nginx> {
  const home = await mkdtemp(join(folder, 'nginx-'))
  const port = await freePort()
  const config = `
    daemon off; worker_processes 1; pid ${home}/pid; error_log ${home}/error.log;
    ${process.getuid?.() === 0 ? 'user root;' : ''}
    events { worker_connections 1024; }
    http {
      access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000000; default_type application/octet-stream;
      open_file_cache max=100 inactive=60s;
      ${['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((use) => `${use}_temp_path ${home};`).join(' ')}
      server { listen 127.0.0.1:${port}; ${server} }
    }`
  await writeFile(join(home, 'nginx.conf'), config)
  const child = spawn('nginx', ['-p', home, '-c', join(home, 'nginx.conf')], {
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  const pid = await retry(async () => {
    const workers = (await readFile(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8')).trim()
    if (!workers) throw new Error('nginx has no worker')
    return Number(workers.split(' ')[0])
  })
  return { child, pid, port }
}
